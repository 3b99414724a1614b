/**
 * How much device memory a run takes while so many rows are routed and so many keep their
 * pre-activations.
 *
 * @module
 */

import { keptLogits } from "../autograd/cross_entropy.ts";
import type { Device } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import { countParameters } from "../model/parameter_count.ts";
import { expertsScratch, headScratch } from "./kernel_scratch.ts";

/** Bytes of an fp32 or int32 element: all that the CPU build stores. */
const BYTES = 4;

/** Memory of a run while the routers keep a given share of the experts open, in bytes. */
export interface MemoryEstimate {
  /** Routed rows of a layer and micro-batch that the estimate assumes. */
  readonly rows: number;
  /** Rows of a layer that keep their pre-activations; those of the others are computed again. */
  readonly kept_rows: number;
  /** fp32 weights. */
  readonly weights: number;
  /** fp32 gradients. */
  readonly gradients: number;
  /** AdamW's two moments, fp32. */
  readonly moments: number;
  /** What a micro-batch keeps for its backward pass. */
  readonly activations: number;
  /** What the widest operation needs while it runs: the experts' backward pass, or the head. */
  readonly scratch: number;
  /** The sum. */
  readonly total: number;
}

/**
 * Counts a run's memory.
 *
 * @param device Whose kernels say what they take while they run; null: nobody's.
 * @param config The whole configuration.
 * @param rows Routed rows of a layer and micro-batch.
 * @param kept Rows of a layer that keep their pre-activations.
 * @returns Bytes.
 */
export function estimateAt(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  kept: number,
): MemoryEstimate {
  const weights = BYTES * countParameters(config.model, config.moe).total;
  const activations = BYTES * keptElements(config) +
    config.model.layers * kept * rowBytes(config);
  const scratch = widestOperation(device, config, rows, kept);
  return {
    rows,
    kept_rows: kept,
    weights,
    gradients: weights,
    moments: 2 * weights,
    activations,
    scratch,
    total: 4 * weights + activations + scratch,
  };
}

/** Elements that one micro-batch keeps for its backward pass, pre-activations apart. */
function keptElements({ model, moe, data }: TrainConfig): number {
  const { layers, hidden, heads, groups } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = moe.experts * moe.granularity;
  const fused = hidden + 2 * groups * (hidden / heads);
  // The block's two residual inputs, the two norms' outputs, the attention's output, and what its
  // projection and the experts add to the residual, which lives until the tape closes, each [T, h];
  // the two norms' inverse roots; two numbers of each head's softmax.
  const block = tokens * (7 * hidden + fused + 2 + 2 * heads);
  // Gates and their gradient [T, E]; the plan's two row lists, with room for all pairs, and its two
  // offset lists.
  const routing = 4 * tokens * experts + tokens + experts;
  // The last norm's input, output and inverse root, two numbers of the output head's softmax, and
  // the tokens with their targets.
  const head = tokens * (2 * hidden + 5);
  return layers * (block + routing) + head;
}

/**
 * Bytes of the widest operation while it runs: the experts' backward pass with four gradients [T, h]
 * around it, or the output head's with its logits and two.
 */
function widestOperation(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  kept: number,
): number {
  const { hidden, vocabulary } = config.model;
  const tokens = config.data.micro_batch * config.data.sequence;
  const gradient = BYTES * tokens * hidden;
  // The logits are let go before the first of the experts' passes.
  return Math.max(
    expertsScratch(device, config, rows, kept) + 4 * gradient,
    headScratch(device, config) + BYTES * keptLogits(tokens, vocabulary) + 2 * gradient,
  );
}

/**
 * The size of a row's pre-activations.
 *
 * @param config The whole configuration.
 * @returns Bytes of 2W fp32 numbers, W the width of an expert.
 */
export function rowBytes({ model, moe }: TrainConfig): number {
  return 4 * 2 * (model.ffn / moe.granularity);
}
