/** Loads user-defined routers from files. @module */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { requirePath } from "../arguments.ts";
import { ConfigError, FileError } from "../errors.ts";
import { completeRow } from "../moe/complete_row.ts";
import { type RouterChoice, routerOf } from "../moe/router_of.ts";
import type { RouterBuild, RouterRow } from "../moe/router_row.ts";
import {
  type AnyRouter,
  LAMBDA_KEYS,
  ROUTER_KEYS,
  type RouterPath,
  type RouterSettings,
} from "../moe/routers.ts";
import { systemReason } from "../system_reason.ts";
import { CONFIG_KEYS } from "./schema.ts";
import { isRouterPath, ROUTER_ROW } from "./router_schema.ts";

/** A router's file that has been loaded. */
export interface LoadedRouter {
  /** The file, absolute: what `moe.router` is to be. */
  readonly path: RouterPath;
  /** SHA-256 of the file, in hexadecimal. */
  readonly sha256: string;
}

/** A loaded file with what it says. */
export class RouterModule implements LoadedRouter {
  readonly path: RouterPath;
  readonly sha256: string;
  /** What it says of its router. */
  readonly spec: AnyRouter;
  /** Builds the router of a layer. */
  readonly build: RouterBuild<RouterSettings>;

  constructor(path: RouterPath, sha256: string, row: RouterRow) {
    this.path = path;
    this.sha256 = sha256;
    this.spec = completeRow(row) as unknown as AnyRouter;
    const { keys } = this.spec;
    this.build = (device, place, settings) => {
      const own = Object.entries(settings).filter(([name]) => name in keys);
      return row.build(device, place, Object.fromEntries(own));
    };
    Object.freeze(this);
  }
}

/**
 * Loads a router from a file whose default export is a `RouterRow`. The file's code runs.
 *
 * @param path The file, ending in `.ts`, `.mts`, `.js` or `.mjs`.
 * @returns The router, for the option `router` of `parseConfig()`.
 * @throws {TypeError} The path is none.
 * @throws {FileError} The file cannot be read.
 * @throws {ConfigError} Its name has another ending, it cannot be loaded, or its default export is no
 * row.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { loadRouter, parseConfig } from "@remoe/remoe/train";
 *
 * const path = await Deno.makeTempFile({ suffix: ".js" });
 * await Deno.writeTextFile(path, `
 *   export default {
 *     keys: { power: { type: "whole", least: 1, default: 2, about: "What gates are raised to" } },
 *     build() { throw new Error("this example builds no model"); },
 *   };
 * `);
 * const router = await loadRouter(path);
 * const { moe } = parseConfig({ moe: { router: router.path, power: 3 } }, { router });
 * assert(moe.router_file?.sha256 === router.sha256);
 * await Deno.remove(path);
 * ```
 */
export function loadRouter(path: string): Promise<LoadedRouter> {
  return loadModule(path);
}

/** The file with all that it says. */
async function loadModule(path: string, known?: string): Promise<RouterModule> {
  requirePath("load a router", "path", path);
  const file = resolve(path);
  if (!isRouterPath(file)) {
    throw new ConfigError(
      `Cannot load the router ${path}: expected a file that ends in .ts, .mts, .js or .mjs`,
    );
  }
  const sha256 = known ?? hashOf(file);
  let row: unknown;
  try {
    // The hash makes it another module as soon as it is another file.
    row = (await import(`${pathToFileURL(file)}?sha256=${sha256}`)).default;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new ConfigError(`Cannot load the router ${file}: ${reason}`, { cause });
  }
  const problems = rowProblems(row);
  if (problems.length > 0) {
    throw new ConfigError(`Cannot load the router ${file}: ${problems.join("; ")}`);
  }
  return new RouterModule(file, sha256, row as RouterRow);
}

/**
 * Loads the file of a configuration's router, if it is the one that the configuration was made with.
 *
 * @param moe The configuration's router; without `router_file` any content will do.
 * @returns The router; undefined where it is the library's own.
 * @throws {FileError} The file cannot be read.
 * @throws {ConfigError} The file has changed since.
 */
export async function loadRouterOf(moe: RouterChoice): Promise<RouterModule | undefined> {
  if (!isRouterPath(moe.router)) return undefined;
  if (moe.router_file === undefined) return await loadModule(moe.router);
  // Before its code runs.
  const now = hashOf(moe.router);
  if (now !== moe.router_file.sha256) {
    throw new ConfigError(
      `Cannot use the router ${moe.router}: the file has changed since the run began ` +
        `(SHA-256 ${moe.router_file.sha256.slice(0, 12)} then, ${now.slice(0, 12)} now); put it ` +
        `back as it was, or start a new run`,
    );
  }
  return await loadModule(moe.router, now);
}

/**
 * Looks up the row of a router that may be a file.
 *
 * @param choice The router.
 * @param loaded A file that has been loaded.
 * @returns Its row.
 * @throws {ConfigError} The router is a file that has not been loaded.
 */
export function specFor(choice: RouterChoice, loaded: RouterModule | undefined): AnyRouter {
  const { router, router_file } = choice;
  if (router === loaded?.path) return loaded.spec;
  if (!isRouterPath(router) || router_file !== undefined) return routerOf(choice);
  throw new ConfigError(
    `Cannot use moe.router ${router}: the file has not been loaded; pass what loadRouter() gives ` +
      `as the option router, and its path as moe.router`,
  );
}

function hashOf(file: string): string {
  try {
    return createHash("sha256").update(Deno.readFileSync(file)).digest("hex");
  } catch (cause) {
    throw new FileError(`Cannot load the router ${file}: ${systemReason(cause)}`, file, { cause });
  }
}

/** What is wrong with the default export of a file. */
function rowProblems(row: unknown): string[] {
  if (typeof row !== "object" || row === null) {
    return ["its default export is no RouterRow; it needs at least build(device, place, settings)"];
  }
  const checked = ROUTER_ROW.safeParse(row);
  if (!checked.success) {
    return checked.error.issues.map(({ path, message }) =>
      `${["row", ...path.map(String)].join(".")}: ${message}`
    );
  }
  const { keys = {}, lambda = false } = row as RouterRow;
  const taken = new Set(CONFIG_KEYS.map(({ key }) => key));
  const known: Readonly<Record<string, unknown>> = ROUTER_KEYS;
  const changed = Object.keys(keys).filter((name) =>
    taken.has(`moe.${name}`) && JSON.stringify(keys[name]) !== JSON.stringify(known[name])
  );
  const missing = lambda ? Object.keys(LAMBDA_KEYS).filter((name) => !(name in keys)) : [];
  return [
    ...changed.map((name) => `row.keys.${name} is another key than moe.${name} of the library`),
    ...(missing.length > 0
      ? [`row.lambda is true, and row.keys lacks ${missing.join(", ")}: spread LAMBDA_KEYS there`]
      : []),
  ];
}
