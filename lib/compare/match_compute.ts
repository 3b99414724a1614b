/**
 * FLOPs of a run before it starts, for equal compute (section 4.3 of the paper) and time estimates.
 *
 * @module
 */

import { routedLayers } from "../config/layer_widths.ts";
import type { TrainConfig } from "../config/config.ts";
import { executedFlops } from "../model/flops.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";

/** Steps that λ takes to settle; used only in estimates. */
const SETTLING_STEPS = 100;

/**
 * Tells whether the FLOPs of a configuration's steps are known before it runs.
 *
 * @param config The configuration.
 * @returns Whether the number of rows is fixed by the configuration.
 */
export function hasKnownFlops({ moe }: TrainConfig): boolean {
  const { exact, merges } = routerOf(moe);
  return exact || merges;
}

/**
 * Returns the number of steps that execute about as many FLOPs as another run did.
 *
 * @param config A configuration whose FLOPs are known, see {@linkcode hasKnownFlops}.
 * @param flops FLOPs of the other run.
 * @returns The nearest number of steps, at least 1.
 */
export function stepsWithin(config: TrainConfig, flops: number): number {
  let [steps, total] = [0, 0];
  for (;;) {
    const step = stepFlops(config, steps);
    if (steps > 0 && total + step / 2 > flops) return steps;
    total += step;
    steps++;
  }
}

/**
 * Estimates the FLOPs of a run; exact if they are known.
 *
 * @param config The configuration.
 * @returns FLOPs.
 */
export function estimatedFlops(config: TrainConfig): number {
  let total = 0;
  for (let step = 0; step < config.steps; step++) total += stepFlops(config, step);
  return total;
}

/**
 * FLOPs of a step. A router that is sparse only on average is assumed to have half of its experts
 * open until it settles, and its target from then on.
 */
function stepFlops(config: TrainConfig, step: number): number {
  const { model, moe, data } = config;
  const spec = routerOf(moe);
  const settled = routedSizes(moe).active;
  const batch = { tokens: data.micro_batch * data.sequence, sequence: data.sequence, step };
  const open = spec.rows(moe, batch);
  const rows = spec.exact
    ? open
    : Math.max(settled * batch.tokens, step < SETTLING_STEPS ? open / 2 : 0);
  return executedFlops(model, moe, {
    sequences: data.batch,
    sequence: data.sequence,
    rows: new Array<number>(routedLayers(config)).fill(data.batch / data.micro_batch * rows),
  }).total;
}
