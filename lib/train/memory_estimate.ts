/**
 * Estimates a run's device memory, given how many rows are routed and how many keep their
 * pre-activations.
 *
 * @module
 */

import { keptLogits } from "../autograd/cross_entropy.ts";
import type { TrainConfig } from "../config/config.ts";
import { countParameters } from "../model/parameter_count.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** Bytes per fp32 or int32 element; the CPU build stores no others. */
const BYTES = 4;

/** Elements of two threads' tiles, each sized for an L2 cache of 2 MiB. */
const TILES = 2 ** 20;

/** A run's memory in bytes, for a given number of routed rows. */
export interface MemoryEstimate {
  /** Routed rows per layer and micro-batch that the estimate assumes. */
  readonly rows: number;
  /** Rows per layer that keep their pre-activations; the others' are recomputed. */
  readonly kept_rows: number;
  /** fp32 weights. */
  readonly weights: number;
  /** fp32 gradients. */
  readonly gradients: number;
  /** AdamW's two moments, fp32. */
  readonly moments: number;
  /** What a micro-batch keeps for the backward pass. */
  readonly activations: number;
  /** What the largest operation needs while it runs: the experts' backward pass, or the head. */
  readonly scratch: number;
  /** The sum. */
  readonly total: number;
}

/**
 * Estimates a run's memory.
 *
 * @param config The full configuration.
 * @param rows Routed rows per layer and micro-batch.
 * @param kept Rows per layer that keep their pre-activations.
 * @returns The estimate.
 */
export function estimateAt(config: TrainConfig, rows: number, kept: number): MemoryEstimate {
  const weights = BYTES * countParameters(config.model, config.moe).total;
  const activations = BYTES * keptElements(config) +
    config.model.layers * kept * rowBytes(config);
  const scratch = BYTES * scratchElements(config, rows);
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

/** Elements that one micro-batch keeps for its backward pass, without the pre-activations. */
function keptElements({ model, moe, data }: TrainConfig): number {
  const { layers, hidden, heads, groups } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = routedSizes(moe).experts;
  const fused = hidden + 2 * groups * (hidden / heads);
  // Per block, each [T, h] and alive until the tape closes: two residual inputs, two norm outputs,
  // the attention's output, and what its projection and the experts add to the residual. Also the
  // two norms' inverse roots, and two numbers per head for the softmax.
  const block = tokens * (7 * hidden + fused + 2 + 2 * heads);
  // Gates and their gradient [T, E]; the plan's two row lists, with room for all pairs, and its two
  // lists of offsets.
  const routing = 4 * tokens * experts + tokens + experts;
  // The shared experts' pre-activations, activations and output, and its sum with the routed ones'.
  const width = moe.shared * (model.ffn / moe.granularity);
  const shared = width === 0 ? 0 : tokens * (3 * width + 2 * hidden);
  // The last norm's input, output and inverse root, two numbers for the output head's softmax, and
  // the tokens and targets.
  const head = tokens * (2 * hidden + 5);
  return layers * (block + routing + shared) + head;
}

/**
 * Elements that the largest operation needs while it runs.
 *
 * The output head: its logits. The experts' backward pass: for each routed row, the gradient of its
 * input [h]; for each task of an expert after its first, gradients of the weights (a task has a
 * sixteenth of the rows, between 756 and 2048); the threads' tiles; around it, four gradients
 * [T, h].
 */
function scratchElements({ model, moe, data }: TrainConfig, rows: number): number {
  const { hidden, ffn, vocabulary } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = routedSizes(moe).experts;
  const task = Math.min(2048, Math.max(756, rows / 16));
  const furtherTasks = experts * (Math.ceil(rows / experts / task) - 1);
  const weights = 3 * hidden * (ffn / moe.granularity);
  const ofExperts = rows * hidden + furtherTasks * weights + TILES + 4 * tokens * hidden;
  // The logits are freed before the first of the experts' backward passes.
  const ofHead = keptLogits(tokens, vocabulary) + TILES + 2 * tokens * hidden;
  return Math.max(ofExperts, ofHead);
}

/**
 * The size of a row's pre-activations.
 *
 * @param config The full configuration.
 * @returns Bytes of 2W fp32 numbers, where W is the width of an expert.
 */
export function rowBytes({ model, moe }: TrainConfig): number {
  return 4 * 2 * (model.ffn / moe.granularity);
}
