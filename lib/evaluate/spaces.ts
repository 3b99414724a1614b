/** White space as Python's `str.strip` knows it, which differs from JavaScript's. @module */

const SPACE = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`;
const AT_END = new RegExp(`${SPACE}+$`);
const AT_START = new RegExp(`^${SPACE}+`);

/**
 * Splits the white space off a text's end.
 *
 * @param text Any text.
 * @returns The text before it, and the white space.
 */
export function splitTrailingSpace(text: string): [string, string] {
  const at = text.search(AT_END);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
}

/**
 * Drops white space at both ends.
 *
 * @param text Any text.
 * @returns The text between.
 */
export function trimmed(text: string): string {
  return splitTrailingSpace(text)[0].replace(AT_START, "");
}
