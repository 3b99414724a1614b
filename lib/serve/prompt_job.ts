/** A prompt and the texts that continue it, as the engine holds them. @module */

import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import type { DrawOptions } from "../generate/draw_token.ts";
import { type FinishReason, GrowingText } from "../generate/growing_text.ts";
import { scoreToken, type TokenScore } from "./token_scores.ts";

/** What to do with a prompt. */
export interface PromptRequest extends DrawOptions {
  /** Its token ids, at least one. */
  readonly tokens: readonly number[];
  /** Number of texts that continue it. */
  readonly texts: number;
  /** Most tokens to draw for each; 0: none. */
  readonly maxTokens: number;
  /** Strings that end a text. */
  readonly stop: readonly string[];
  /** Seed of the draws. */
  readonly seed: number;
  /** How many of the likeliest tokens to report with each token; null: no scores. */
  readonly scores: number | null;
  /** Whether the tokens of the prompt are scored too. */
  readonly scoresPrompt: boolean;
}

/** A token of an answer. */
export interface TokenEntry {
  /** The token. */
  readonly id: number;
  /** Characters (code points) of the text before it. */
  readonly offset: number;
  /** Its score; null if none is asked for, and for the first token of a prompt. */
  readonly score: TokenScore | null;
}

/** The next part of a text. */
export interface TextPiece {
  /** The text. */
  readonly text: string;
  /** The tokens that are now certain: none that a stop string has cut off. */
  readonly entries: readonly TokenEntry[];
  /** Tokens that it took: 1, or 0 where none were wanted. */
  readonly drawn: number;
  /** Why the text ends here; null if it continues. */
  readonly finish: FinishReason | null;
}

/** Receives what becomes of a prompt. */
export interface JobListener {
  /**
   * The prompt has been read.
   *
   * @param scores Per token its score; null for the first, and where none is asked for.
   */
  prompt(scores: readonly (TokenScore | null)[]): void;
  /**
   * A text has grown.
   *
   * @param text Its number among the prompt's texts.
   * @param piece The new part.
   */
  piece(text: number, piece: TextPiece): void;
  /**
   * The texts end here, unfinished.
   *
   * @param error Why.
   */
  fail(error: unknown): void;
}

/** One of the texts that continue a prompt. */
export class JobText {
  /** Its number among the prompt's texts. */
  readonly index: number;
  /** Its row of the cache. */
  readonly row: number;
  /** The token that the row lacks. */
  next: number;
  readonly #growing: GrowingText;
  readonly #request: PromptRequest;
  /** Tokens whose text may still be cut off. */
  #open: TokenEntry[] = [];
  #length = 0;

  /** Begins the text of a row. */
  constructor(request: PromptRequest, tokenizer: Tokenizer, index: number, row: number) {
    this.#request = request;
    this.#growing = new GrowingText({ ...request, tokenizer, stream: index });
    this.index = index;
    this.row = row;
    this.next = request.tokens.at(-1)!;
  }

  /** Whether the text has ended. */
  get isDone(): boolean {
    return this.#growing.isDone;
  }

  /** Draws a token, and appends it. */
  grow(logits: Float32Array): TextPiece {
    const { scores, maxTokens } = this.#request;
    const growing = this.#growing;
    const id = growing.draw(logits);
    const score = scores === null ? null : scoreToken(logits, id, scores);
    const offset = this.#length + characters(growing.held);
    const { text, finish } = growing.push(id, growing.tokens + 1 === maxTokens);
    this.next = id;
    this.#open.push({ id, offset, score });
    this.#length += characters(text);
    return { text, entries: this.#certain(finish), drawn: 1, finish };
  }

  #certain(finish: FinishReason | null): TokenEntry[] {
    const isOpen = finish === null && this.#growing.held !== "";
    const entries = finish === "stop" || isOpen
      ? this.#open.filter(({ offset }) => offset < this.#length)
      : this.#open;
    this.#open = this.#open.slice(entries.length);
    return entries;
  }
}

/** A prompt that is being read, or whose texts grow. */
export class PromptJob {
  /** What to do. */
  readonly request: PromptRequest;
  /** Who hears of it. */
  readonly listener: JobListener;
  /** Its rows of the cache that are in use. */
  rows: readonly number[] = [];
  /** Its texts; empty while the prompt is being read. */
  texts: readonly JobText[] = [];
  /** Tokens of the prompt in the cache. */
  read = 0;
  /** Whether nobody waits for it any more. */
  isCancelled = false;
  /** Whether its rows have been given back. */
  isOver = false;
  /** Per token of the prompt that has been read, and the one after them, its score. */
  readonly scores: (TokenScore | null)[] = [null];

  /** Holds the request. */
  constructor(request: PromptRequest, listener: JobListener) {
    this.request = request;
    this.listener = listener;
  }

  /** Whether its texts have not begun. */
  get isReading(): boolean {
    return this.texts.length === 0;
  }

  /** Tokens still to be read: the last one is read with the texts, for its logits. */
  get unread(): number {
    return this.request.tokens.length - 1 - this.read;
  }

  /** Whether it takes any computing. */
  get isWork(): boolean {
    return this.request.maxTokens > 0 || (this.request.scoresPrompt && this.unread > 0);
  }
}

/** Number of characters, as clients count them. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
