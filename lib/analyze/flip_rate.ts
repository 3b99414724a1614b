/** How much of the routing a training step changes (appendix A of the paper). @module */

import { mean } from "../mean.ts";
import { differingPairs, type HostMask } from "./host_mask.ts";

/** The routing flips between two steps. */
export interface Flips {
  /** Equation 14: the share of pairs of token and expert that differ, over all layers. */
  readonly rate: number;
  /** E times the rate: experts that a token gains or loses per layer, on average. */
  readonly count: number;
  /** The rate of each layer. */
  readonly ratePerLayer: readonly number[];
}

/**
 * Compares the routing of the same tokens at two steps, as in equation 14:
 * FR_i = Σ_l ‖vec(M_i^l − M_{i−1}^l)‖₁ / (L·T·E).
 *
 * @param before The masks of all layers at one step.
 * @param now Those at the next.
 * @returns The flip rate and the flip count.
 */
export function flipsBetween(
  before: readonly HostMask[],
  now: readonly HostMask[],
): Flips {
  const ratePerLayer = now.map((mask, layer) =>
    differingPairs(mask, before[layer]!) / (mask.tokens * mask.experts)
  );
  // Every layer has the same tokens and experts.
  const rate = mean(ratePerLayer);
  return { rate, count: rate * now[0]!.experts, ratePerLayer };
}
