/**
 * Checks of arguments: Deno runs TypeScript unchecked, and callers may be JavaScript.
 *
 * @module
 */

import { requireText, shown } from "../arguments.ts";
import { DataError } from "./errors.ts";

export { shown };

/**
 * Refuses values that are neither arrays nor array-like.
 *
 * @param value The argument.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If it has no valid array length.
 */
export function checkArrayLike(value: unknown, what: string): asserts value is ArrayLike<unknown> {
  const length = (value as { length?: unknown } | null | undefined)?.length;
  const isList = typeof value === "object" && Number.isInteger(length) &&
    (length as number) >= 0 && (length as number) < 2 ** 32;
  if (isList) return;
  throw new TypeError(`Cannot ${what}: ${shown(value)} is not an array`);
}

/**
 * Finds a lone surrogate in a text. UTF-8 cannot encode it and would silently substitute U+FFFD, so
 * it is refused just as invalid UTF-8 is.
 *
 * @param text The text.
 * @returns What is wrong, to follow the text's name; null if nothing is.
 */
export function brokenCharacter(text: string): string | null {
  if (text.isWellFormed()) return null;
  const place = text.search(/\p{Surrogate}/u);
  return `is not well-formed: character ${place} is half a surrogate pair, which UTF-8 cannot hold`;
}

/**
 * Refuses a text that UTF-8 cannot hold.
 *
 * @param what What was to be done, to follow "Cannot".
 * @param name What messages call the text.
 * @param text The text.
 * @throws {DataError} If it holds a lone surrogate; says where.
 */
export function checkWellFormed(what: string, name: string, text: string): void {
  const broken = brokenCharacter(text);
  if (broken === null) return;
  throw new DataError(
    `Cannot ${what}: ${name} ${broken}; fix it, or put U+FFFD there with toWellFormed()`,
  );
}

/**
 * Refuses values that lack the required methods.
 *
 * @param value The argument.
 * @param methods Their names.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If it is not such an object.
 */
export function checkObject(value: unknown, methods: readonly string[], what: string): void {
  const object = value as Readonly<Record<string, unknown>> | null;
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isObject && methods.every((name) => typeof object![name] === "function")) return;
  const needed = methods.length > 0 ? `an object with ${methods.join(", ")}` : "an object";
  throw new TypeError(`Cannot ${what}: ${shown(value)} is not ${needed}`);
}

/**
 * Reads the text that marks the end of a document from decoding options.
 *
 * @param options Decoding options.
 * @returns The text; empty by default.
 * @throws {TypeError} If the options are not an object, or the text is not a string.
 */
export function endOfDocumentOf(options: { readonly endOfDocument?: string }): string {
  checkObject(options, [], "decode tokens with the options");
  const { endOfDocument = "" } = options;
  requireText("decode tokens", "endOfDocument", endOfDocument);
  return endOfDocument;
}
