/** Log-probabilities of tokens, as answers report them. @module */

import { LogitsError } from "../generate/logits_error.ts";

/** A token and its log-probability. */
export type ScoredToken = readonly [token: number, logProbability: number];

/** What the model thought of a token. */
export interface TokenScore {
  /** ln p of the token, over all logits at temperature 1. */
  readonly logProbability: number;
  /** The likeliest tokens in its place, likeliest first. */
  readonly top: readonly ScoredToken[];
}

/**
 * Scores a token by the logits of its place.
 *
 * @param logits `[vocabulary]`.
 * @param token The token.
 * @param count How many of the likeliest tokens to report.
 * @returns The scores; that of a token among the likeliest is the identical number.
 * @throws {LogitsError} If a log-probability is not finite.
 */
export function scoreToken(logits: Float32Array, token: number, count: number): TokenScore {
  const likeliest = likeliestOf(logits, Math.max(1, count));
  const largest = logits[likeliest[0]!]!;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - largest);
  const lowered = largest + Math.log(sum);
  const scored = (id: number): ScoredToken => [id, requireFinite(logits[id]! - lowered, id)];
  return {
    logProbability: scored(token)[1],
    top: likeliest.slice(0, count).map(scored),
  };
}

/**
 * Throws unless a log-probability is a number: JSON would turn any other into null.
 *
 * @param logProbability The log-probability.
 * @param token Its token.
 * @returns The log-probability.
 */
export function requireFinite(logProbability: number, token: number): number {
  if (Number.isFinite(logProbability)) return logProbability;
  throw new LogitsError(
    `Cannot score token ${token}: its log-probability is ${logProbability}; the model's weights ` +
      `are damaged or too large, use an earlier checkpoint`,
  );
}

/** The largest logits' ids, largest first, the lower of equals first. */
function likeliestOf(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    let at = ids.length;
    while (at > 0 && logits[id]! > logits[ids[at - 1]!]!) at--;
    if (at < count) ids.splice(at, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}
