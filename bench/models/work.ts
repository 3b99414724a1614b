/** Counts what models execute and move. @module */

import { KeptRowsPlan } from "../../lib/train/kept_rows_plan.ts";
import {
  countParameters,
  executedFlops,
  formulaFlops,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import type { Work } from "../harness/case.ts";

/** The part of a model to time; `step` adds the optimizer to a micro-batch's two passes. */
export type ModelPass = "forward" | "forward and backward" | "step";

/** Bytes per parameter: read forward, read backward, its gradient written; then AdamW's. */
const PARAMETER_BYTES: Readonly<Record<ModelPass, number>> = {
  forward: 4,
  "forward and backward": 12,
  step: 12 + 28,
};

/** AdamW's operations per parameter. */
const ADAMW_FLOPS = 14;

/**
 * Returns the rows of each layer.
 *
 * @param config Sizes, mixture and micro-batch.
 * @param density Share of active pairs.
 * @returns Routed rows, the same number for every expert.
 */
export function rowsOf({ model, moe, data }: TrainConfig, density: number): number[] {
  const perExpert = Math.round(density * data.micro_batch * data.sequence);
  return new Array(model.layers).fill(perExpert * moe.experts * moe.granularity);
}

/**
 * Counts what a micro-batch executes, see {@linkcode executedFlops}, and counts recomputed
 * pre-activations again. Bytes are those of the parameters alone.
 *
 * @param config Sizes, mixture and micro-batch.
 * @param density Share of active pairs.
 * @param pass What is timed.
 * @returns FLOPs and bytes.
 */
export function modelWork(
  config: TrainConfig,
  density: number,
  pass: ModelPass,
): Work {
  const { model, moe, data } = config;
  const rows = rowsOf(config, density);
  const executed = executedFlops(
    model,
    moe,
    { sequences: data.micro_batch, sequence: data.sequence, rows },
  );
  const parameters = countParameters(model, moe).total;
  const bytes = PARAMETER_BYTES[pass] * parameters;
  if (pass === "forward") {
    const { projections, attention, routers, experts, head } = executed;
    // The forward pass has one product of three; of attention's seven two, of the head's four one.
    const flops = (projections + routers + experts) / 3 + attention * 2 / 7 + head / 4;
    return { flops, bytes };
  }
  const width = model.ffn / moe.granularity;
  const recomputed = 4 * model.hidden * width * recomputedRows(config, rows);
  const optimizer = pass === "step" ? ADAMW_FLOPS * parameters : 0;
  return { flops: executed.total + recomputed + optimizer, bytes };
}

/** Rows whose pre-activations are not kept. */
function recomputedRows(config: TrainConfig, rows: readonly number[]): number {
  const kept = new KeptRowsPlan(null, config, Infinity);
  kept.expect(rows);
  return rows.reduce((sum, count, i) => sum + Math.max(0, count - kept.layers[i]!.rows), 0);
}

/**
 * Counts a micro-batch by the formula that papers quote; a third of it for the forward pass.
 *
 * @param config Sizes, mixture and micro-batch.
 * @param pass What is timed.
 * @returns FLOPs.
 */
export function formulaWork({ model, moe, data }: TrainConfig, pass: ModelPass): number {
  const training = data.micro_batch * formulaFlops(model, moe, data.sequence);
  return pass === "forward" ? training / 3 : training;
}
