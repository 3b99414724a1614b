/** Rows that the layers routed in a step. @module */

import type { StepReadout } from "../autograd/step_readout.ts";
import type { TrainConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";

/**
 * Counts the rows that each layer ran through a network of an expert's width.
 *
 * @param config The full configuration.
 * @param readout The step's results.
 * @returns The routed pairs of each layer; a merging layer runs every token once, and its counts
 * are rounded weights.
 */
export function routedRows(
  { data, moe }: TrainConfig,
  { layers }: Pick<StepReadout, "layers">,
): number[] {
  if (routerOf(moe).merges) return layers.map(() => data.batch * data.sequence);
  return layers.map(({ counts }) => counts.reduce((sum, count) => sum + count, 0));
}
