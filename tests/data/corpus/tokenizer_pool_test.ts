import { assertEquals } from "@std/assert";

import { encodeTexts } from "../../../lib/data/corpus/encode_texts.ts";
import { textsInMemory } from "../../../lib/data/text/memory_source.ts";
import { prepareCorpus } from "../../../lib/data/corpus/corpus.ts";
import { openTokenizer } from "../../../lib/data/tokenizer/open_tokenizer.ts";
import { readAllTokens } from "../../../lib/data/corpus/token_stream.ts";
import { TokenizerPool } from "../../../lib/data/corpus/tokenizer_pool.ts";

const TEXTS = Array.from({ length: 50 }, (_, i) => `Text ${i}: ${"naïve words ".repeat(i)}`);

Deno.test("`TokenizerPool` gives the same tokens with any number of workers", async () => {
  const tokenizer = await openTokenizer("gpt2");
  const expected = encodeTexts(tokenizer, TEXTS);
  for (const workers of [0, 1, 3]) {
    using pool = new TokenizerPool(tokenizer, workers);
    const parts = await Promise.all(TEXTS.map((text) => pool.encode([text])));
    assertEquals(parts.flatMap(({ tokens }) => [...tokens]), [...expected.tokens]);
    assertEquals(parts.flatMap(({ bytes }) => bytes), expected.bytes);
  }
});

Deno.test("`TokenizerPool` encodes on the main thread if a worker fails", async () => {
  const tokenizer = { ...await openTokenizer("byte"), name: "unheard of" };
  const byte = await openTokenizer("byte");
  Object.assign(tokenizer, {
    encode: (text: string) => byte.encode(text),
    byteLength: (tokens: ArrayLike<number>) => byte.byteLength(tokens),
  });
  using pool = new TokenizerPool(tokenizer, 2);
  assertEquals((await pool.encode(["ab"])).tokens, Uint16Array.of(97, 98, 256));
});

Deno.test("`prepareCorpus()` gives the same tokens with any number of workers", async () => {
  const tokenizer = await openTokenizer("gpt2");
  const tokens = async (workers: number) => {
    const options = { workers, cacheFolder: false } as const;
    const { train } = await prepareCorpus(textsInMemory(TEXTS), tokenizer, options);
    return readAllTokens(train.tokens, tokenizer.vocabularySize);
  };
  assertEquals(await tokens(2), await tokens(0));
});
