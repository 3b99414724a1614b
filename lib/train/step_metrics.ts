/** A step's metrics, computed from what the device reports. @module */

import type { StepReadout } from "../autograd/step_readout.ts";
import type { TrainConfig } from "../config/config.ts";
import { executedFlops, formulaFlops } from "../model/flops.ts";
import { routerOf } from "../moe/router_of.ts";
import type { StepMetrics } from "../run/metrics_line.ts";
import { closedLayers, idleExperts } from "../run/routing_health.ts";
import type { StageState } from "../checkpoint/stage.ts";
import type { Real } from "../tensor/dtype.ts";
import type { SplitLoss } from "./causal_loss.ts";
import { routedRows } from "./routed_rows.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** What {@linkcode stepMetrics} is computed from. */
export interface StepFigures {
  readonly config: TrainConfig;
  readonly step: number;
  readonly lr: number;
  /** λ that the step used. */
  readonly lambda: number;
  readonly ms: number;
  /** Peak bytes in use during the step. */
  readonly memory: number;
  readonly readout: StepReadout;
  /** Losses of causally routed and other tokens; null if all are routed causally. */
  readonly split: SplitLoss | null;
  /** The stage after the step. */
  readonly stage: StageState;
  /** The type that the model computes in. */
  readonly dtype: Real;
}

/** A step's line of `metrics.jsonl`. */
export function stepMetrics(figures: StepFigures): StepMetrics {
  const { config, step, lr, lambda, ms, memory, readout, split, stage, dtype } = figures;
  const { data, moe, model } = config;
  const router = routerOf(moe);
  const tokens = data.batch * data.sequence;
  const pairs = tokens * routedSizes(moe).experts;
  const rows = routedRows(config, readout);
  const work = { sequences: data.batch, sequence: data.sequence, rows };
  const formula = data.batch * formulaFlops(model, moe, data.sequence);
  const flopsToGflops = 1e-6 / ms;
  // Where experts are merged, every token uses all of them.
  const sparsity_per_layer = rows.map((routed) => router.merges ? 0 : 1 - routed / pairs);
  const expert_load = readout.layers.map(({ counts }, layer) =>
    Array.from(counts, (count) => count / Math.max(rows[layer]!, 1))
  );
  return {
    step,
    loss: readout.loss,
    ...(split === null ? {} : { loss_causal: split.causal, loss_noncausal: split.noncausal }),
    lr,
    grad_norm: readout.gradientNorm,
    sparsity: router.merges ? 0 : readout.sparsity,
    sparsity_per_layer,
    lambda: router.lambda ? lambda : 0,
    l1_reg: router.loss === null ? 0 : readout[router.loss.figure],
    ...(readout.zLoss === null ? {} : { z_loss: readout.zLoss }),
    expert_load,
    tokens_without_expert: readout.layers.reduce(
      (sum, layer) => sum + layer.tokensWithoutExpert,
      0,
    ),
    idle_experts: idleExperts(expert_load).length,
    closed_layers: closedLayers(sparsity_per_layer, routedSizes(moe).experts).length,
    stage: stage.stage,
    dtype,
    tokens: step * tokens,
    tokens_per_second: tokens / (ms / 1000),
    gflops: formula * flopsToGflops,
    gflops_executed: executedFlops(model, moe, work).total * flopsToGflops,
    ms,
    memory_bytes: memory,
  };
}
