/** Creates a folder whole or not at all. @module */

import { basename, dirname } from "node:path";
import { ConfigError } from "../errors.ts";
import { exists, onPath, removeIfThere, syncDirectory } from "../files.ts";

/**
 * Refuses a folder that something is in.
 *
 * @param operation What is to be done, worded to follow "Cannot".
 * @param path The folder; it may be missing or empty.
 * @throws {ConfigError} It is not empty, or no folder.
 */
export function requireEmpty(operation: string, path: string): void {
  if (!exists(path)) return;
  if (!Deno.statSync(path).isDirectory) {
    throw new ConfigError(`Cannot ${operation} ${path}: it is a file; choose another name`);
  }
  const [entry] = onPath("read", path, () => [...Deno.readDirSync(path)]);
  if (entry === undefined) return;
  throw new ConfigError(
    `Cannot ${operation} ${path}: it is not empty (${entry.name}); choose another folder`,
  );
}

/**
 * Fills a new folder under a temporary name beside it, and renames it once it is complete: a process
 * killed in between leaves nothing that looks whole.
 *
 * @param operation What is done, worded to follow "Cannot".
 * @param path The folder; it may be missing or empty.
 * @param fill Writes its files, which are synced, to the folder it is given.
 * @returns What `fill` returned.
 * @throws {ConfigError} The folder is not empty.
 * @throws {FileError} It cannot be written; nothing is left behind.
 */
export function createFolder<Result>(
  operation: string,
  path: string,
  fill: (folder: string) => Result,
): Result {
  requireEmpty(operation, path);
  const parent = dirname(path);
  const temporary = `${parent}/.${basename(path)}.${crypto.randomUUID()}.tmp`;
  return onPath("write", path, () => {
    Deno.mkdirSync(parent, { recursive: true });
    Deno.mkdirSync(temporary);
    try {
      const result = fill(temporary);
      syncDirectory(temporary);
      if (exists(path)) Deno.removeSync(path);
      Deno.renameSync(temporary, path);
      syncDirectory(parent);
      return result;
    } catch (error) {
      removeIfThere(temporary);
      throw error;
    }
  });
}
