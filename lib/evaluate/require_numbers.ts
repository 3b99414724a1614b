/** Refuses scores that a damaged model gives. @module */

import { LogitsError } from "../generate/logits_error.ts";
import type { Score } from "./scorer.ts";

/**
 * Throws unless all scores are numbers: no comparison would notice NaN.
 *
 * @param scores The scores.
 * @param what What was scored.
 * @throws {LogitsError} If one is NaN or infinite.
 */
export function requireNumbers(scores: readonly Score[], what: string): void {
  if (scores.every(({ logLikelihood }) => Number.isFinite(logLikelihood))) return;
  throw new LogitsError(
    `Cannot score ${what}: a log-likelihood is not finite; the model's weights are damaged or too ` +
      `large, use an earlier checkpoint`,
  );
}
