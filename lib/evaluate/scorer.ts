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
 * @param sizes The sizes, such as tokens with padding; each costs as much as the batch's largest.
 * @param most Most that a batch may cost; a single thing may cost more.
 * @returns The indices of each batch.
 */
export function batchesBySize(sizes: readonly number[], most: number): number[][] {
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const batches: number[][] = [];
  for (let from = 0; from < order.length;) {
    const count = Math.max(1, Math.floor(most / Math.max(1, sizes[order[from]!]!)));
    batches.push(order.slice(from, from + count));
    from += count;
  }
  return batches;
}
