/**
 * Stand-in for `@std/jsonc`, through jsonc-parser.
 *
 * @module
 */

import { parse as parseTree, type ParseError, printParseErrorCode } from "npm:jsonc-parser@^3.3.1";

/** A value that JSON can express. */
export type JsonValue =
  | { [key: string]: JsonValue | undefined }
  | JsonValue[]
  | string
  | number
  | boolean
  | null;

/**
 * Reads JSON with comments and trailing commas.
 *
 * @param text The text.
 * @returns Its value.
 * @throws {SyntaxError} If the text is not JSON with comments.
 */
export function parse(text: string): JsonValue {
  const errors: ParseError[] = [];
  const value = parseTree(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first !== undefined) {
    const problem = printParseErrorCode(first.error);
    throw new SyntaxError(`${problem} in JSONC at position ${first.offset}`);
  }
  return value;
}
