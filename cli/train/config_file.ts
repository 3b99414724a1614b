/**
 * Reads configuration files in JSON, JSON with comments, or YAML.
 *
 * @module
 */

import { dirname, extname } from "node:path";
import { parse as parseJsonc } from "@std/jsonc";
import { parse as parseYaml } from "@std/yaml";
import { doubledKey } from "../../lib/config/doubled_key.ts";
import type { LoadedRouter } from "../../lib/config/load_router.ts";
import { isRouterPath } from "../../lib/config/router_schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { RouterPath } from "../../lib/moe/routers.ts";
import { systemReason } from "../../lib/system_reason.ts";
import type { ConfigLayer } from "../../lib/config/config.ts";
import { parseConfigLayer } from "../../lib/config/parse_config.ts";
import { absolutePath } from "../shared/arguments.ts";
import { absoluteTextPath } from "../shared/text_paths.ts";

const PARSERS: Readonly<Record<string, (text: string) => unknown>> = {
  ".json": withoutDoubledKeys((text) => JSON.parse(text)),
  ".jsonc": withoutDoubledKeys(parseJsonc),
  ".yaml": parseYaml,
  ".yml": parseYaml,
};

/**
 * Reads a configuration file, whose extension tells its format.
 *
 * @param path The file. Relative paths in it are resolved against its folder.
 * @param router The router file that the configuration names, loaded.
 * @returns The file as a layer of configuration.
 * @throws {ConfigError} If the file is missing, cannot be parsed, or has invalid keys or values.
 */
export function readConfigFile(path: string, router?: LoadedRouter): ConfigLayer {
  const layer = parseConfigLayer(parseFile(path) ?? {}, { source: path, router });
  return withAbsolutePaths(layer, dirname(path));
}

/**
 * Reads only which router a configuration file names; the rest needs the router's keys.
 *
 * @param path The file. A relative path in it is resolved against its folder.
 * @returns A name or an absolute path; undefined if the file names no router.
 * @throws {ConfigError} If the file is missing or cannot be parsed.
 */
export function configFileRouter(path: string): string | undefined {
  const { router } = (parseFile(path) as { moe?: { router?: unknown } } | null)?.moe ?? {};
  if (typeof router !== "string") return undefined;
  return isRouterPath(router) ? absolutePath(router, dirname(path)) : router;
}

/**
 * Reads only which run a configuration file starts from; what is set in that run counts below it.
 *
 * @param path The file. A relative path in it is resolved against its folder.
 * @returns An absolute path; null if it asks for random weights, undefined if it does not say.
 * @throws {ConfigError} If the file is missing or cannot be parsed.
 */
export function configFileInit(path: string): string | null | undefined {
  const { from } = (parseFile(path) as { init?: { from?: unknown } } | null)?.init ?? {};
  if (from === null) return null;
  return typeof from === "string" && from !== "" ? absolutePath(from, dirname(path)) : undefined;
}

/**
 * Finds keys in a configuration file, whether or not it is valid otherwise.
 *
 * @param path The file.
 * @param keys Dotted keys to look for.
 * @returns Those to which it gives a value other than null.
 * @throws {ConfigError} If the file is missing or cannot be parsed.
 */
export function keysInConfigFile(path: string, keys: readonly string[]): string[] {
  const content = parseFile(path);
  return keys.filter((key) => {
    const value = key.split(".").reduce<unknown>(
      (inner, name) => (inner as Readonly<Record<string, unknown>> | null | undefined)?.[name],
      content,
    );
    return value !== undefined && value !== null;
  });
}

/**
 * Makes the paths of a layer absolute, so that a run can be resumed from anywhere.
 *
 * @param layer A layer of configuration.
 * @param base The folder to resolve relative paths against.
 * @returns The layer with absolute paths.
 */
export function withAbsolutePaths(layer: ConfigLayer, base: string): ConfigLayer {
  const { out, init, data, moe } = layer;
  const absolute = (path: string): string => absolutePath(path, base);
  const absoluteText = (entry: string): string => absoluteTextPath(entry, base);
  return {
    ...layer,
    ...(out ? { out: absolute(out) } : {}),
    ...(init?.from ? { init: { ...init, from: absolute(init.from) } } : {}),
    ...(isRouterPath(moe?.router)
      ? { moe: { ...moe, router: absolute(moe.router) as RouterPath } }
      : {}),
    ...(data === undefined ? {} : {
      data: {
        ...data,
        ...(data.paths ? { paths: data.paths.map(absoluteText) } : {}),
        ...(data.validation_paths
          ? { validation_paths: data.validation_paths.map(absoluteText) }
          : {}),
        ...(data.cache ? { cache: absolute(data.cache) } : {}),
      },
    }),
  };
}

/** For JSON only: the YAML parser refuses duplicate keys itself. */
function withoutDoubledKeys(parse: (text: string) => unknown): (text: string) => unknown {
  return (text) => {
    const value = parse(text);
    const doubled = doubledKey(text);
    if (doubled === null) return value;
    throw new SyntaxError(`it holds the key ${doubled} twice in one group`);
  };
}

function parseFile(path: string): unknown {
  const extension = extname(path).toLowerCase();
  const parse = Object.hasOwn(PARSERS, extension) ? PARSERS[extension]! : undefined;
  if (parse === undefined) {
    const known = Object.keys(PARSERS).join(", ");
    throw new ConfigError(`Cannot read ${path}: its extension is not one of ${known}`);
  }
  const fail = (reason: string, cause: unknown): never => {
    throw new ConfigError(`Cannot read ${path}: ${reason}`, { cause });
  };
  let text: string;
  try {
    // Not `readTextFile`, which replaces invalid UTF-8 with U+FFFD.
    text = new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (cause) {
    const isEncoding = cause instanceof TypeError;
    return fail(isEncoding ? "it is not text in UTF-8" : systemReason(cause), cause);
  }
  try {
    return parse(text);
  } catch (cause) {
    // YAML's parser shows the place in further lines.
    return fail((cause as Error).message.split("\n")[0]!, cause);
  }
}
