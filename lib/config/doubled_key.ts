/** Finds duplicate keys in JSON text, of which parsers silently take the last. @module */

/** Strings, with the colon that makes one a key; braces; comments. */
const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}]|\/\/.*|\/\*[^]*?\*\//g;

/**
 * Finds a key that occurs twice in one object.
 *
 * @param text Text that parses as JSON, or as JSON with comments.
 * @returns The first such key; null if there is none.
 */
export function doubledKey(text: string): string | null {
  const open: Set<string>[] = [];
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      if (open.at(-1)!.has(key)) return key;
      open.at(-1)!.add(key);
    }
  }
  return null;
}
