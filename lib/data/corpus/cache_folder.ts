import { join } from "node:path";
import { readEnvironment } from "../../permissions.ts";

/**
 * Returns the folder for cached tokens: `remoe` in `$XDG_CACHE_HOME`, else in `~/.cache`
 * (`%LOCALAPPDATA%` on Windows).
 *
 * Variables the program may not read count as unset; the user is not prompted for permission.
 *
 * @returns The folder, which need not exist, or `undefined` if no variable names one.
 *
 * @example
 * ```ts
 * import { defaultCacheFolder } from "@remoe/remoe/data";
 *
 * const folder = defaultCacheFolder() ?? "./cache";
 * ```
 */
export function defaultCacheFolder(): string | undefined {
  const cache = readEnvironment("XDG_CACHE_HOME");
  if (cache !== undefined) return join(cache, "remoe");
  if (Deno.build.os === "windows") {
    const local = readEnvironment("LOCALAPPDATA");
    return local === undefined ? undefined : join(local, "remoe");
  }
  const home = readEnvironment("HOME");
  return home === undefined ? undefined : join(home, ".cache", "remoe");
}
