/** The text that a model is analyzed on, as token streams by domain. @module */

import { joinStreams, memoryStream, type TokenStream } from "../data/corpus/token_stream.ts";
import { NO_DOMAIN, type TextSource } from "../data/text/document.ts";
import { EvenSample } from "./even_sample.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";

/** Characters kept per token wanted: more than a token of any tokenizer has on average. */
const CHARACTERS_PER_TOKEN = 8;

/**
 * Reads an even sample of each domain's documents, in order, and tokenizes it. Only the sample of a
 * long text is held in memory.
 *
 * @param source The text.
 * @param tokenizer The model's tokenizer.
 * @param tokens Tokens wanted of each domain; there may be several times as many.
 * @returns The tokens of each domain, each document followed by an end of document.
 * @throws {DataError} If the text cannot be read.
 */
export async function sampleText(
  source: TextSource,
  tokenizer: Tokenizer,
  tokens: number,
): Promise<Map<string, TokenStream>> {
  const samples = new Map<string, EvenSample>();
  for await (const { text, domain = NO_DOMAIN } of source.documents()) {
    const sample = samples.get(domain) ?? new EvenSample(CHARACTERS_PER_TOKEN * tokens);
    samples.set(domain, sample);
    sample.add(text);
  }
  return new Map(
    [...samples].map(([domain, { texts }]) => [domain, streamOf(texts, tokenizer)]),
  );
}

function streamOf(texts: readonly string[], tokenizer: Tokenizer): TokenStream {
  return joinStreams(
    texts.map((text) =>
      memoryStream(Uint32Array.from([...tokenizer.encode(text), tokenizer.endOfDocument]))
    ),
  );
}
