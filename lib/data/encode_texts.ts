import { allocateTokens, type TokenArray } from "./tokenized_text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Texts as tokens, in the narrow form they are kept in. */
export interface EncodedTexts {
  /** The tokens of all texts, each text followed by an end of document. */
  readonly tokens: TokenArray;
  /** Tokens of each text, with its end of document. */
  readonly lengths: readonly number[];
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
  const lengths = parts.map((part) => part.length + 1);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const tokens = allocateTokens(total, tokenizer.vocabularySize);
  let offset = 0;
  for (const [i, part] of parts.entries()) {
    tokens.set(part, offset);
    offset += lengths[i]!;
    tokens[offset - 1] = tokenizer.endOfDocument;
  }
  return { tokens, lengths, bytes: parts.map((part) => tokenizer.byteLength(part)) };
}
