/** One text being generated: its draws, its stop strings, and where it ends. @module */

import { philox4x32, philoxKey } from "../data/batches/philox.ts";
import { TextStream } from "../data/tokenizer/text_stream.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { type DrawOptions, drawToken } from "./draw_token.ts";
import { StopFilter } from "./stop_filter.ts";

/** Why a text ended: end-of-document token, stop string, or the maximum number of tokens. */
export type FinishReason = "end" | "stop" | "length";

/** Settings of {@linkcode GrowingText}. */
export interface GrowingTextOptions extends DrawOptions {
  /** The tokenizer of the tokens. */
  readonly tokenizer: Tokenizer;
  /** Strings that end the text, which does not include them. */
  readonly stop?: readonly string[];
  /** Seed of the draws. Default 0. */
  readonly seed?: number;
  /** Separates draws with the same seed. Default 0. */
  readonly stream?: number;
}

/** What a token adds to a text. */
export interface Growth {
  /** The text that is now certain; empty while a character or a stop string may be incomplete. */
  readonly text: string;
  /** Why the text ends here; null if it continues. */
  readonly finish: FinishReason | null;
}

/** Philox counter word that separates these draws from those of weights and shuffle. */
const OPERATION = 0xffff0001;

/** A text that grows by one token at a time. Its draws depend on its own settings alone. */
export class GrowingText {
  readonly #options: GrowingTextOptions;
  readonly #decoder: TextStream;
  readonly #filter: StopFilter;
  readonly #key: ReturnType<typeof philoxKey>;
  #tokens = 0;
  #isDone = false;

  /** Begins a text. */
  constructor(options: GrowingTextOptions) {
    const { tokenizer, stop = [], seed = 0 } = options;
    this.#options = options;
    this.#decoder = new TextStream(tokenizer);
    this.#filter = new StopFilter(stop);
    this.#key = philoxKey(seed);
  }

  /** Tokens so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Whether the text has ended. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Decoded text that is held back since it may be the beginning of a stop string. */
  get held(): string {
    return this.#filter.held;
  }

  /**
   * Draws the next token without appending it.
   *
   * @param logits `[vocabulary]`, padded or not: padding is never drawn.
   * @returns The token.
   * @throws {LogitsError} If no token can be drawn.
   */
  draw(logits: Float32Array): number {
    const { tokenizer, stream = 0 } = this.#options;
    const [word = 0] = philox4x32([this.#tokens, 0, OPERATION, stream], this.#key);
    const real = logits.subarray(0, tokenizer.vocabularySize);
    return drawToken(real, word * 2 ** -32, this.#options);
  }

  /**
   * Appends a token.
   *
   * @param token The token.
   * @param isLast Whether the text ends with it in any case.
   * @returns The text it adds, and whether it ends the text.
   */
  push(token: number, isLast: boolean): Growth {
    this.#tokens++;
    const isEnd = token === this.#options.tokenizer.endOfDocument;
    let text = isEnd ? "" : this.#filter.push(this.#decoder.push(token));
    let finish: FinishReason | null = this.#filter.isStopped ? "stop" : null;
    if (finish === null && (isEnd || isLast)) {
      finish = isEnd ? "end" : "length";
      text += this.#filter.push(this.#decoder.end()) + this.#filter.end();
    }
    this.#isDone = finish !== null;
    return { text, finish };
  }
}
