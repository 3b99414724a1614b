/**
 * Steps and FLOPs before a run: equal compute as in the paper's section 4.3, and estimates of time.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { executedFlops } from "../model/flops.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { mostActive, routerOf } from "../moe/router_of.ts";

/** Steps that λ takes to settle, for estimates alone. */
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
 * Counts the steps that execute about as many FLOPs as another run did.
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
 * Estimates the FLOPs of a whole run; exactly if they are known.
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
 * FLOPs of a step. A router that is sparse only on average is taken to have half of the experts open
 * until it has settled, then its target.
 */
function stepFlops({ model, moe, data }: TrainConfig, step: number): number {
  const spec = routerOf(moe);
  const settled = routedSizes(moe).active;
  // A merging layer runs every token once.
  const active = spec.merges
    ? 1
    : spec.exact
    ? mostActive(spec, moe, step)
    : step < SETTLING_STEPS
    ? Math.max(settled, mostActive(spec, moe, step) / 2)
    : settled;
  const rows = data.batch * data.sequence * active;
  return executedFlops(model, moe, {
    sequences: data.batch,
    sequence: data.sequence,
    rows: new Array<number>(model.layers).fill(rows),
  }).total;
}
