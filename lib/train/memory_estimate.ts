/**
 * How much device memory a run takes while so many rows are routed and so many keep their
 * pre-activations.
 *
 * @module
 */

import { keptLogits } from "../autograd/cross_entropy.ts";
import type { TrainConfig } from "../config/config.ts";
import { countParameters } from "../model/parameter_count.ts";

/** Bytes of an fp32 or int32 element: all that the CPU build stores. */
const BYTES = 4;

/** Tiles of two threads, made to fill an L2 cache of 2 MiB each. */
const TILES = 2 ** 20;

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
 * @param config The whole configuration.
 * @param rows Routed rows of a layer and micro-batch.
 * @param kept Rows of a layer that keep their pre-activations.
 * @returns Bytes.
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
 * Elements that the widest operation takes while it runs. The output head: its logits. The experts'
 * backward pass: of each routed row the gradient of
 * its input [h]; of each task of an expert but its first, gradients of the weights (tasks have a
 * sixteenth of the rows, between 756 and 2048); the threads' tiles; around it, four gradients
 * [T, h].
 */
function scratchElements({ model, moe, data }: TrainConfig, rows: number): number {
  const { hidden, ffn, vocabulary } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = moe.experts * moe.granularity;
  const task = Math.min(2048, Math.max(756, rows / 16));
  const furtherTasks = experts * (Math.ceil(rows / experts / task) - 1);
  const weights = 3 * hidden * (ffn / moe.granularity);
  const ofExperts = rows * hidden + furtherTasks * weights + TILES + 4 * tokens * hidden;
  // The logits are let go before the first of the experts' passes.
  const ofHead = keptLogits(tokens, vocabulary) + TILES + 2 * tokens * hidden;
  return Math.max(ofExperts, ofHead);
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
