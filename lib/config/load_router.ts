/** Loads user-defined routers from files. @module */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { requirePath } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
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
import { CONFIG_KEYS } from "./schema.ts";
import { isRouterPath, ROUTER_ROW } from "./router_schema.ts";
import { guardedRow } from "./router_guard.ts";
import { requireUnchanged, type RouterSources, routerSources } from "./router_sources.ts";

/** A loaded router file. */
export interface LoadedRouter {
  /** Absolute path of the file: the value to use for `moe.router`. */
  readonly path: RouterPath;
  /** SHA-256 of the file and of the local modules that it imports, in hexadecimal. */
  readonly sha256: string;
}

/** A loaded router file and its contents. */
export class RouterModule implements LoadedRouter {
  readonly path: RouterPath;
  readonly sha256: string;
  /** The router's row. */
  readonly spec: AnyRouter;
  /** Builds the router of one layer. */
  readonly build: RouterBuild<RouterSettings>;

  constructor(path: RouterPath, sha256: string, row: RouterRow) {
    this.path = path;
    this.sha256 = sha256;
    this.spec = completeRow(guardedRow(path, row)) as unknown as AnyRouter;
    const { keys } = this.spec;
    this.build = (device, place, settings) => {
      const own = Object.entries(settings).filter(([name]) => name in keys);
      return row.build(device, place, Object.fromEntries(own));
    };
    Object.freeze(this);
  }
}

/**
 * Loads a router from a file whose default export is a `RouterRow`. This runs the file's code.
 *
 * @param path The file, ending in `.ts`, `.mts`, `.js` or `.mjs`.
 * @returns The router, for the option `router` of `parseConfig()`.
 * @throws {TypeError} If `path` is not a path.
 * @throws {FileError} If the file cannot be read.
 * @throws {ConfigError} If its name has another extension, it cannot be loaded, its default export
 * is not a valid row, or a module that it imports has changed since this process loaded it.
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

/** Loads a file and checks its row. */
async function loadModule(path: string, known?: RouterSources): Promise<RouterModule> {
  requirePath("load a router", "path", path);
  const file = resolve(path);
  if (!isRouterPath(file)) {
    throw new ConfigError(
      `Cannot load the router ${path}: expected a file that ends in .ts, .mts, .js or .mjs`,
    );
  }
  const sources = known ?? routerSources(file);
  requireUnchanged(file, sources);
  const { sha256 } = sources;
  let row: unknown;
  try {
    // With the hash in the URL, a changed file is a new module.
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
 * Loads the router file of a configuration, provided that it has not changed.
 *
 * @param moe The configuration's router; without `router_file` any content is accepted.
 * @returns The router; undefined if it is one of the library's.
 * @throws {FileError} If the file cannot be read.
 * @throws {ConfigError} If the file has changed since the configuration was made.
 */
export async function loadRouterOf(moe: RouterChoice): Promise<RouterModule | undefined> {
  if (!isRouterPath(moe.router)) return undefined;
  if (moe.router_file === undefined) return await loadModule(moe.router);
  // Compared before the file's code runs.
  const sources = routerSources(moe.router);
  const { sha256 } = moe.router_file;
  if (sources.sha256 !== sha256) {
    const what = sources.imports.size === 0
      ? "the file has"
      : "the file or a module that it imports has";
    const then = sha256.slice(0, 12), now = sources.sha256.slice(0, 12);
    throw new ConfigError(
      `Cannot use the router ${moe.router}: ${what} changed since the run began ` +
        `(SHA-256 ${then} then, ${now} now); put it back as it was, or start a new run`,
    );
  }
  return await loadModule(moe.router, sources);
}

/**
 * Looks up the row of a router that may come from a file.
 *
 * @param choice The router.
 * @param loaded A loaded router file.
 * @returns The row.
 * @throws {ConfigError} If the router is a file that has not been loaded.
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

/** Lists the problems with the default export of a file. */
function rowProblems(row: unknown): string[] {
  if (typeof row !== "object" || row === null) {
    return [
      "its default export is not a RouterRow; it needs at least build(device, place, settings)",
    ];
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
  const spreads = Object.keys(LAMBDA_KEYS).every((name) => name in keys);
  const missing = lambda ? Object.keys(LAMBDA_KEYS).filter((name) => !(name in keys)) : [];
  return [
    ...changed.map((name) => `row.keys.${name} is another key than moe.${name} of the library`),
    ...(missing.length > 0
      ? [`row.lambda is true, and row.keys lacks ${missing.join(", ")}: spread LAMBDA_KEYS there`]
      : []),
    ...(spreads && !lambda
      ? [
        "row.keys spreads LAMBDA_KEYS, and row.lambda is not true, so nothing would move λ: set it",
      ]
      : []),
  ];
}
