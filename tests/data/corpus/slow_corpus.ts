/**
 * A corpus of several chunks, and a tokenizer slow enough to be interrupted. As a program, it
 * prepares the corpus in the given cache folder.
 */
import {
  ByteTokenizer,
  prepareCorpus,
  type TextSource,
  type Tokenizer,
} from "../../../lib/data/mod.ts";

const DOCUMENTS = 40;

/** 40 documents of 1 MiB: five chunks. */
export const LARGE_TEXT: TextSource = {
  name: "large",
  async *documents() {
    for (let i = 0; i < DOCUMENTS; i++) {
      yield { id: `${i}`, text: `${i} `.padEnd(64, "text ").repeat(1 << 14) };
    }
  },
};

/**
 * Makes a byte tokenizer.
 *
 * @param milliseconds Delay per document.
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
