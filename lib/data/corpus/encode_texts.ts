import { allocateTokens, type TokenArray } from "./tokenized_text.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

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
    checkTokens(part, tokenizer);
    tokens.set(part, offset);
    offset += lengths[i]!;
    tokens[offset - 1] = tokenizer.endOfDocument;
  }
  return { tokens, lengths, bytes: parts.map((part) => tokenizer.byteLength(part)) };
}

/** Kept in fewer bits, an id outside the vocabulary would be another token. */
function checkTokens(tokens: Int32Array, { name, vocabularySize }: Tokenizer): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token >= 0 && token < vocabularySize) continue;
    throw new RangeError(
      `Cannot use token ${token} of the tokenizer ${name}: its vocabulary has ${vocabularySize}`,
    );
  }
}
