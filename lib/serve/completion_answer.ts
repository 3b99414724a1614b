/** Answers to requests to complete texts, whole or piece by piece. @module */

import { TextStream } from "../data/tokenizer/text_stream.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import type { CompletionRequest } from "./completion_request.ts";
import { characters, type JobListener, type TextPiece, type TokenEntry } from "./prompt_job.ts";
import { tokenLabel } from "./token_labels.ts";
import type { TokenScore } from "./token_scores.ts";

/** Log-probabilities, an element per token in each list. */
export interface AnswerLogprobs {
  /** Characters (code points) of the answer's text before the token. */
  readonly text_offset: number[];
  /** ln p of the token; null for the first of a prompt. */
  readonly token_logprobs: (number | null)[];
  /** The token's name. */
  readonly tokens: string[];
  /** ln p of the likeliest tokens and of the token itself, by name. */
  readonly top_logprobs: (Readonly<Record<string, number>> | null)[];
}

/** A text of an answer, or the next piece of it. */
export interface AnswerChoice {
  /** Its number: those of the first prompt come first. */
  readonly index: number;
  /** The text. */
  text: string;
  /** Scores of its tokens, if asked for. */
  readonly logprobs: AnswerLogprobs | null;
  /** Why it ends; null if it continues. */
  finish_reason: "stop" | "length" | null;
  /** Ids of the prompt, if asked for. */
  prompt_token_ids?: readonly number[];
  /** Ids of the tokens drawn, if asked for. */
  readonly token_ids?: number[];
}

/** Numbers of tokens. */
export interface AnswerUsage {
  /** Of all prompts. */
  readonly prompt_tokens: number;
  /** Drawn for all texts. */
  readonly completion_tokens: number;
  /** Their sum. */
  readonly total_tokens: number;
}

/** Receives the pieces of an answer. */
export interface AnswerSink {
  /**
   * A text has grown.
   *
   * @param choice The new piece of it.
   */
  choice(choice: AnswerChoice): void;
  /** All texts have ended. */
  done(): void;
  /**
   * The texts end here, unfinished.
   *
   * @param error Why.
   */
  fail(error: unknown): void;
}

/** Turns what becomes of a request's prompts into the pieces of its answer. */
export class CompletionAnswer {
  readonly #request: CompletionRequest;
  readonly #tokenizer: Tokenizer;
  readonly #sink: AnswerSink;
  #unfinished: number;
  #drawn = 0;

  /** Begins an answer. */
  constructor(request: CompletionRequest, tokenizer: Tokenizer, sink: AnswerSink) {
    this.#request = request;
    this.#tokenizer = tokenizer;
    this.#sink = sink;
    this.#unfinished = request.prompts.length * request.texts;
  }

  /** Tokens so far. */
  get usage(): AnswerUsage {
    const read = this.#request.prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const drawn = this.#drawn;
    return { prompt_tokens: read, completion_tokens: drawn, total_tokens: read + drawn };
  }

  /** Hears of one of the prompts. */
  listener(prompt: number): JobListener {
    const { texts, echo, tokenIds, prompts } = this.#request;
    const { tokens } = prompts[prompt]!;
    let before = 0;
    return {
      prompt: (scores) => {
        const { text, entries } = echo ? this.#prompt(tokens, scores) : { text: "", entries: [] };
        before = characters(text);
        if (!echo && !tokenIds) return;
        for (let each = 0; each < texts; each++) {
          const choice = this.#choice(prompt * texts + each, text, entries, 0);
          if (tokenIds) choice.prompt_token_ids = tokens;
          choice.token_ids?.splice(0);
          this.#sink.choice(choice);
        }
      },
      piece: (text, piece) => this.#piece(prompt * texts + text, piece, before),
      fail: (error) => this.#sink.fail(error),
    };
  }

  #piece(index: number, { text, entries, finish, drawn }: TextPiece, before: number): void {
    this.#drawn += drawn;
    const choice = this.#choice(index, text, entries, before);
    if (finish !== null) choice.finish_reason = finish === "length" ? "length" : "stop";
    if (text !== "" || entries.length > 0 || finish !== null) this.#sink.choice(choice);
    if (finish !== null && --this.#unfinished === 0) this.#sink.done();
  }

  /** The prompt as the beginning of a text. */
  #prompt(
    tokens: readonly number[],
    scores: readonly (TokenScore | null)[],
  ): { text: string; entries: TokenEntry[] } {
    const stream = new TextStream(this.#tokenizer);
    let [text, offset] = ["", 0];
    const entries = tokens.map((id, i): TokenEntry => {
      const entry = { id, offset, score: scores[i] ?? null };
      const piece = stream.push(id);
      text += piece;
      offset += characters(piece);
      return entry;
    });
    return { text: text + stream.end(), entries };
  }

  #choice(
    index: number,
    text: string,
    entries: readonly TokenEntry[],
    before: number,
  ): AnswerChoice {
    const { logprobs, tokenIds } = this.#request;
    return {
      ...{ index, text },
      logprobs: logprobs === null ? null : this.#logprobs(entries, before),
      finish_reason: null,
      ...(tokenIds ? { token_ids: entries.map(({ id }) => id) } : {}),
    };
  }

  #logprobs(entries: readonly TokenEntry[], before: number): AnswerLogprobs {
    const label = (id: number): string => tokenLabel(id, this.#tokenizer);
    return {
      text_offset: entries.map(({ offset }) => before + offset),
      token_logprobs: entries.map(({ score }) => score?.logProbability ?? null),
      tokens: entries.map(({ id }) => label(id)),
      top_logprobs: entries.map(({ id, score }) => score && this.#top(id, score)),
    };
  }

  /** The likeliest tokens by name; the token itself is always among them. */
  #top(id: number, { top, logProbability }: TokenScore): Record<string, number> {
    const named = new Map<string, number>();
    const own = tokenLabel(id, this.#tokenizer);
    for (const [each, value] of top) {
      const isTaken = (name: string): boolean => named.has(name) || (name === own && each !== id);
      named.set(tokenLabel(each, this.#tokenizer, isTaken), value);
    }
    if (!named.has(own)) named.set(own, logProbability);
    return Object.fromEntries(named);
  }
}

/** Appends a piece of a text to the ones before it. */
export function appendChoice(whole: AnswerChoice, piece: AnswerChoice): void {
  whole.text += piece.text;
  whole.finish_reason = piece.finish_reason;
  if (piece.prompt_token_ids !== undefined) whole.prompt_token_ids = piece.prompt_token_ids;
  for (const id of piece.token_ids ?? []) whole.token_ids?.push(id);
  for (const name of ["text_offset", "token_logprobs", "tokens", "top_logprobs"] as const) {
    const values: unknown[] | undefined = whole.logprobs?.[name];
    for (const value of piece.logprobs?.[name] ?? []) values?.push(value);
  }
}
