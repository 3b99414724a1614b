import { allocateTokens, type TokenArray } from "./token_array.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Tokenized texts, in the narrow integers they are stored in. */
export interface EncodedTexts {
  /** The tokens of all texts, each followed by an end of document. */
  readonly tokens: TokenArray;
  /** Bytes of each text in UTF-8. */
  readonly bytes: readonly number[];
}

/**
 * Tokenizes texts.
 *
 * @param tokenizer The tokenizer.
 * @param texts The texts, none of them empty.
 * @returns Their tokens.
 */
export function encodeTexts(tokenizer: Tokenizer, texts: readonly string[]): EncodedTexts {
  const parts = texts.map((text) => tokenizer.encode(text));
  const total = parts.reduce((sum, { length }) => sum + length + 1, 0);
  const tokens = allocateTokens(total, tokenizer.vocabularySize);
  let offset = 0;
  for (const part of parts) {
    checkTokens(part, tokenizer);
    tokens.set(part, offset);
    offset += part.length;
    tokens[offset++] = tokenizer.endOfDocument;
  }
  return { tokens, bytes: parts.map((part) => tokenizer.byteLength(part)) };
}

/** Refuses ids outside the vocabulary: truncated to fewer bits, one would become another token. */
function checkTokens(tokens: Int32Array, { name, vocabularySize }: Tokenizer): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token >= 0 && token < vocabularySize) continue;
    throw new RangeError(
      `Cannot use token ${token} of the tokenizer ${name}: its vocabulary has ${vocabularySize}`,
    );
  }
}
