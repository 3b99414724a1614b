/** The text that a model is analyzed on, as token streams by domain. @module */

import { joinStreams, memoryStream, type TokenStream } from "../data/corpus/token_stream.ts";
import { NO_DOMAIN, type TextSource } from "../data/text/document.ts";
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

/** Keeps every n-th of a sequence of texts, with n doubled whenever they grow too long. */
class EvenSample {
  readonly #most: number;
  #texts: string[] = [];
  #characters = 0;
  #seen = 0;
  #every = 1;

  /** Starts empty; keeps at least `most` characters if there are that many. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The texts kept. */
  get texts(): readonly string[] {
    return this.#texts;
  }

  /** Offers a text. */
  add(text: string): void {
    if (this.#seen++ % this.#every !== 0) return;
    this.#texts.push(text);
    this.#characters += text.length;
    while (this.#characters > 2 * this.#most && this.#texts.length > 1) this.#halve();
  }

  #halve(): void {
    const kept = this.#texts.filter((_, i) => i % 2 === 0);
    const characters = kept.reduce((sum, text) => sum + text.length, 0);
    this.#every *= 2;
    this.#texts = kept;
    this.#characters = characters;
  }
}
