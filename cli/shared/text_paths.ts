/**
 * Files with text that a command line names.
 *
 * @module
 */

import { dirname } from "node:path";
import type { TrainConfig } from "../../lib/config/config.ts";
import { PATTERN, splitDomain, twoMeanings } from "../../lib/data/text/text_files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { systemReason } from "../../lib/system_reason.ts";
import { absolutePath } from "./arguments.ts";

/**
 * Returns what has to be readable for an entry of `--data`.
 *
 * @param entry A path, a pattern or `domain=path`.
 * @returns The path; for a pattern, the folder above its first wildcard.
 */
export function readablePath(entry: string): string {
  const { path } = splitDomain(entry);
  const wildcard = path.search(PATTERN);
  return wildcard < 0 ? path : dirname(`${path.slice(0, wildcard)}x`);
}

/**
 * Returns the paths of texts to measure on, and of their tokens where those are kept.
 *
 * @param data The run's settings of its text.
 * @param given Entries of `--data`; null for the run's own text, whose tokens are kept where the run
 * says.
 * @returns What is read, and what is read and written. The default cache is used only if allowed.
 */
export function textNeeds(
  data: TrainConfig["data"],
  given: readonly string[] | null,
): { readonly texts: readonly string[]; readonly cache: readonly string[] } {
  const entries = given ?? [...data.paths, ...data.validation_paths];
  return {
    texts: entries.map(readablePath),
    cache: given === null && data.cache !== null ? [data.cache] : [],
  };
}

/**
 * Makes an entry of `--data` absolute.
 *
 * @param entry A path, a pattern or `domain=path`.
 * @param base The folder that a relative path is resolved against.
 * @returns The entry.
 * @throws {ConfigError} If it is both the name of a file and a `domain=path`.
 */
export function absoluteTextPath(entry: string, base: string): string {
  const { domain, path } = splitDomain(entry);
  if (domain === undefined) return absolutePath(path, base);
  // Once made absolute, it could only mean a domain and its path.
  if (isThere(absolutePath(entry, base))) {
    throw new ConfigError(`Cannot use ${entry}: ${twoMeanings(entry)}`);
  }
  return `${domain}=${absolutePath(path, base)}`;
}

/**
 * Reads a text file.
 *
 * @param file The file as given.
 * @param base The folder that a relative path is resolved against.
 * @param as What the text is to be, for the error.
 * @returns Its text.
 * @throws {ConfigError} If it cannot be read or is not text in UTF-8.
 */
export async function readTextFile(file: string, base: string, as: string): Promise<string> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(absolutePath(file, base));
  } catch (cause) {
    throw new ConfigError(`Cannot read ${file}: ${systemReason(cause)}`, { cause });
  }
  return decodeText(bytes, file, as);
}

/**
 * Decodes text in UTF-8.
 *
 * @param bytes The bytes.
 * @param name What messages call them.
 * @param as What the text is to be, for the error.
 * @returns The text.
 * @throws {ConfigError} If it is not text in UTF-8.
 */
export function decodeText(bytes: Uint8Array<ArrayBuffer>, name: string, as: string): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Reported below.
  }
  throw new ConfigError(`Cannot read ${name} as ${as}: it is not text in UTF-8`);
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    // A text that cannot be inspected is refused later, by name.
    return false;
  }
}
