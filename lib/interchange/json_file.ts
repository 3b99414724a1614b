/** Reads JSON files of models from elsewhere. @module */

import { doubledKey } from "../config/doubled_key.ts";
import { ConfigError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";

/**
 * Reads a JSON object.
 *
 * @param path The file.
 * @returns Its keys and values.
 * @throws {ConfigError} It cannot be read, is not a JSON object, or holds a key twice.
 */
export function readJsonObject(path: string): Record<string, unknown> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new ConfigError(`Cannot import ${path}: ${reason}`, { cause });
  };
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (cause) {
    return fail(cause instanceof TypeError ? "it is not UTF-8" : systemReason(cause), cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail(`it is not JSON (${(cause as Error).message})`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fail("it is not a JSON object");
  }
  const doubled = doubledKey(text);
  if (doubled !== null) return fail(`it holds the key ${doubled} twice`);
  return value as Record<string, unknown>;
}
