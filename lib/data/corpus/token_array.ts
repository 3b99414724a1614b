/** Stored token ids: two bytes each if the vocabulary allows, else four. */
export type TokenArray = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Allocates an array for the tokens of a vocabulary. */
export function allocateTokens(length: number, vocabularySize: number): TokenArray {
  return vocabularySize <= 2 ** 16 ? new Uint16Array(length) : new Uint32Array(length);
}

/** Concatenates arrays of a vocabulary's tokens. */
export function joinTokens(parts: readonly TokenArray[], vocabularySize: number): TokenArray {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = allocateTokens(length, vocabularySize);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
