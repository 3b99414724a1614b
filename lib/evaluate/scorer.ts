/** What scores requests, and how they are put into batches. @module */

import type { ScoreRequest } from "./request.ts";

/** The score of a request. */
export interface Score {
  /** Sum of the log-probabilities of its scored tokens, in nats. */
  readonly logLikelihood: number;
  /** Whether each of them is the model's most likely token. */
  readonly isGreedy: boolean;
}

/** Scores requests. */
export interface Scorer {
  /**
   * Counts the tokens that the model reads for requests.
   *
   * @param items Requests by item.
   * @returns The number; less than they hold if some are shared.
   */
  cost(items: readonly (readonly ScoreRequest[])[]): number;
  /**
   * Scores the requests of items. Those of one item may share their first tokens.
   *
   * @param items Requests by item.
   * @param onTokens Called after each batch with the number of tokens that the model read.
   * @returns Their scores, in the order given.
   */
  score(
    items: readonly (readonly ScoreRequest[])[],
    onTokens?: (tokens: number) => void,
  ): Score[][];
}

/** Tokens that an item's requests hold; a request's last token is not read. */
export function tokensOf(requests: readonly ScoreRequest[]): number {
  return requests.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
}

/**
 * Puts things of different sizes into batches of similar ones, the largest first: memory that does
 * not suffice is noticed at once, and the time left is not underestimated.
 *
 * @param sizes The sizes, such as tokens, each at least 1.
 * @param most Most that a batch may cost; a single thing may cost more.
 * @param costs What each thing costs. Default as much as the batch's largest, to which it is padded.
 * @returns The indices of each batch.
 */
export function batchesBySize(
  sizes: readonly number[],
  most: number,
  costs?: readonly number[],
): number[][] {
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const batches: number[][] = [];
  let [batch, spent] = [[] as number[], Infinity];
  for (const i of order) {
    const costOf = (first: number) => costs === undefined ? sizes[first]! : costs[i]!;
    if (spent + costOf(batch[0] ?? i) > most) {
      batches.push(batch = []);
      spent = 0;
    }
    batch.push(i);
    spent += costOf(batch[0]!);
  }
  return batches;
}
