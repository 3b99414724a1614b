/** Prepares texts for the corpus tests. @module */

import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";
import { prepareCorpus } from "../../../lib/data/corpus/corpus.ts";
import type { CorpusEvent } from "../../../lib/data/corpus/options.ts";
import type { TextSource } from "../../../lib/data/text/document.ts";
import { textsInMemory } from "../../../lib/data/text/memory_source.ts";
import { readAllTokens } from "../../../lib/data/corpus/token_stream.ts";
import type { Corpus, CorpusSide } from "../../../lib/data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../../../lib/data/tokenizer/tokenizer.ts";

/** A tokenizer whose ids are bytes. */
export const tokenizer = new ByteTokenizer();
/** Texts without domains. */
export const TEXTS = Array.from(
  { length: 60 },
  (_, i) => `Document ${i} of the text. `.repeat(1 + i % 3),
);

/** Runs a test with an empty cache folder. */
export async function withCache(test: (cacheFolder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A side with its tokens in memory. */
function whole({ tokens, documents, bytes, domains }: CorpusSide, vocabulary: number) {
  const names = [...domains].map(([name, each]) => [name, each.documents, each.bytes]);
  return { tokens: readAllTokens(tokens, vocabulary), documents, bytes, names };
}

/** A comparable form of a corpus. */
export function plain(corpus: Corpus) {
  const { vocabularySize } = corpus.tokenizer;
  const train = whole(corpus.train, vocabularySize);
  return { ...corpus, train, validation: whole(corpus.validation, vocabularySize) };
}

/** Prepares the texts and returns the messages about the cache. */
export async function prepare(
  cacheFolder: string | false,
  source: TextSource = textsInMemory(TEXTS),
  by: Tokenizer = tokenizer,
  validationFraction = 0.1,
): Promise<{ corpus: ReturnType<typeof plain>; events: CorpusEvent[]; kinds: string[] }> {
  const events: CorpusEvent[] = [];
  const corpus = await prepareCorpus(source, by, {
    cacheFolder,
    validationFraction,
    onEvent: (event) => events.push(event),
  });
  const kinds = events.map(({ kind }) => kind).filter((kind) => kind !== "tokenizing");
  return { corpus: plain(corpus), events, kinds };
}
