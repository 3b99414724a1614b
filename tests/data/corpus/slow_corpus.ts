/**
 * A corpus of several chunks, and a tokenizer slow enough to be interrupted. As a program: prepares the
 * one with the other in the cache folder that it is given.
 */
import {
  ByteTokenizer,
  prepareCorpus,
  type TextSource,
  type Tokenizer,
} from "../../../lib/data/mod.ts";

const DOCUMENTS = 40;

/** 40 documents of a mebibyte: five chunks. */
export const LARGE_TEXT: TextSource = {
  name: "large",
  async *documents() {
    for (let i = 0; i < DOCUMENTS; i++) {
      yield { id: `${i}`, text: `${i} `.padEnd(64, "text ").repeat(1 << 14) };
    }
  },
};

/**
 * Makes a tokenizer of bytes.
 *
 * @param milliseconds How long it thinks about each document.
 * @returns The tokenizer.
 */
export function slowTokenizer(milliseconds: number): Tokenizer {
  const bytes = new ByteTokenizer();
  return {
    name: "slow bytes",
    vocabularySize: bytes.vocabularySize,
    endOfDocument: bytes.endOfDocument,
    encode(text) {
      const until = performance.now() + milliseconds;
      while (performance.now() < until);
      return bytes.encode(text);
    },
    decode: (tokens, options) => bytes.decode(tokens, options),
    bytesOf: (tokens) => bytes.bytesOf(tokens),
    byteLength: (tokens) => bytes.byteLength(tokens),
  };
}

if (import.meta.main) {
  await prepareCorpus(LARGE_TEXT, slowTokenizer(100), { cacheFolder: Deno.args[0]! });
}
