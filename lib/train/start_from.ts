/** Starts a run from the weights of another one. @module */

import { InitialWeights } from "../init_from/initial_weights.ts";
import { describeInit } from "../init_from/describe_init.ts";
import { routerOf } from "../moe/router_of.ts";
import type { Trainer } from "./trainer.ts";

/**
 * Fills a trainer that has taken no step.
 *
 * Where λ adapts the sparsity of a router that is trained already, stage I has nothing to do: it is
 * there to train experts that nothing tells apart yet. The run begins in stage II.
 *
 * @param trainer The trainer.
 * @param weights The open checkpoint.
 * @returns What was taken, what is new, what was left, in a few lines.
 * @throws {CheckpointError} If the weights do not fit, or are not finite.
 * @throws {ConfigError} If experts are to be rescaled and a layer's gates add up to nothing.
 */
export function startFrom(trainer: Trainer, weights: InitialWeights): string {
  const { moe } = trainer.config;
  const record = weights.fill(trainer);
  const isSparsifying = routerOf(moe).adapts(moe) && InitialWeights.keepsRouter(record);
  trainer.startFrom(
    record,
    isSparsifying
      ? { stage: "sparsifying", sparsifying_from: 0, sparse_from: null }
      : trainer.stage,
  );
  return describeInit(record, weights.config, trainer.config);
}
