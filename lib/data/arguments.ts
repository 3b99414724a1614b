/**
 * Checks of arguments: Deno runs TypeScript without checking its types, and JavaScript calls too.
 *
 * @module
 */

import { requireText, shown } from "../arguments.ts";
import { DataError } from "./errors.ts";

export { shown };

/**
 * Refuses what is no array, nor anything like one.
 *
 * @param value The argument.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If it has no length that an array may have.
 */
export function checkArrayLike(value: unknown, what: string): asserts value is ArrayLike<unknown> {
  const length = (value as { length?: unknown } | null | undefined)?.length;
  const isList = typeof value === "object" && Number.isInteger(length) &&
    (length as number) >= 0 && (length as number) < 2 ** 32;
  if (isList) return;
  throw new TypeError(`Cannot ${what}: ${shown(value)} is no array`);
}

/**
 * Says where a text holds half a surrogate pair. UTF-8 has no bytes for it, so that another text
 * would be read, U+FFFD in its place: it is refused as bytes are that are no UTF-8.
 *
 * @param text The text.
 * @returns What is wrong, to follow a name of the text; null where nothing is.
 */
export function brokenCharacter(text: string): string | null {
  if (text.isWellFormed()) return null;
  const place = text.search(/\p{Surrogate}/u);
  return `is no whole text, its character ${place} is half a surrogate pair, which UTF-8 cannot hold`;
}

/**
 * Refuses a text that UTF-8 cannot hold.
 *
 * @param what What was to be done, to follow "Cannot".
 * @param name What the text is.
 * @param text The text.
 * @throws {DataError} Says where.
 */
export function checkWellFormed(what: string, name: string, text: string): void {
  const broken = brokenCharacter(text);
  if (broken === null) return;
  throw new DataError(
    `Cannot ${what}: ${name} ${broken}; mend it, or put U+FFFD there with toWellFormed()`,
  );
}

/**
 * Refuses what lacks the methods asked for.
 *
 * @param value The argument.
 * @param methods Their names.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If it is no such object.
 */
export function checkObject(value: unknown, methods: readonly string[], what: string): void {
  const object = value as Readonly<Record<string, unknown>> | null;
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isObject && methods.every((name) => typeof object![name] === "function")) return;
  const needed = methods.length > 0 ? `an object with ${methods.join(", ")}` : "an object";
  throw new TypeError(`Cannot ${what}: ${shown(value)} is not ${needed}`);
}

/**
 * How the options of decoding show the end of a document.
 *
 * @param options Options of decoding.
 * @returns The text, by default none.
 * @throws {TypeError} If they are no object, or it is no text.
 */
export function endOfDocumentOf(options: { readonly endOfDocument?: string }): string {
  checkObject(options, [], "decode tokens with the options");
  const { endOfDocument = "" } = options;
  requireText("decode tokens", "endOfDocument", endOfDocument);
  return endOfDocument;
}
