/**
 * How much device memory a run will need, before it starts.
 *
 * @module
 */

import type { TrainConfig } from "./config.ts";
import { countParameters } from "./parameter_count.ts";

/** Bytes of an fp32 or int32 element: all that the CPU build stores. */
const BYTES = 4;

/** Memory of a run while the routers keep a given share of the experts open, in bytes. */
export interface MemoryEstimate {
  /** Routed rows a layer and micro-batch that the estimate assumes. */
  readonly rows: number;
  /** fp32 weights. */
  readonly weights: number;
  /** fp32 gradients. */
  readonly gradients: number;
  /** AdamW's two moments, fp32. */
  readonly moments: number;
  /** What a micro-batch keeps for its backward pass. */
  readonly activations: number;
  /** The sum. */
  readonly total: number;
}

/** The two ends of a run's memory. */
export interface StageMemory {
  /**
   * The stage in which every expert may see every token, N = E·T. Routers that are sparse from
   * the start never get there, and have the figures of `sparse`.
   */
  readonly dense: MemoryEstimate;
  /** The stage at the target sparsity, N = k·T. */
  readonly sparse: MemoryEstimate;
}

/**
 * Estimates device memory by stage.
 *
 * Counted: weights, gradients, AdamW's moments, and of each layer what a micro-batch keeps from
 * its forward pass to its backward pass: residual inputs, norm outputs, the fused query, key and
 * value, the attention's output and log-sum-exp, gates, dispatch plan, pre-activations of the
 * routed rows. Not counted: scratch of single operations (gradients in flight, vocabulary chunks,
 * packed weights), a few times tokens x hidden, and what the pool keeps in reserve.
 *
 * @param config The whole configuration.
 * @returns Bytes in the dense and in the sparse stage.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { estimateMemory, parseConfig } from "@remoe/remoe/train";
 *
 * const { dense, sparse } = estimateMemory(parseConfig({ preset: "nano" }));
 * assert(dense.total > sparse.total);
 * ```
 */
export function estimateMemory(config: TrainConfig): StageMemory {
  const { moe, data } = config;
  const tokens = data.micro_batch * data.sequence;
  const sparse = estimateAt(config, moe.active * moe.granularity * tokens);
  const dense = moe.router === "relu"
    ? estimateAt(config, moe.experts * moe.granularity * tokens)
    : sparse;
  return { dense, sparse };
}

function estimateAt(config: TrainConfig, rows: number): MemoryEstimate {
  const weights = BYTES * countParameters(config.model, config.moe).total;
  const activations = BYTES * keptElements(config, rows);
  return {
    rows,
    weights,
    gradients: weights,
    moments: 2 * weights,
    activations,
    total: 4 * weights + activations,
  };
}

/** Elements that one micro-batch keeps for its backward pass. */
function keptElements({ model, moe, data }: TrainConfig, rows: number): number {
  const { layers, hidden, heads, groups, ffn } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = moe.experts * moe.granularity;
  const width = ffn / moe.granularity;
  const fused = hidden + 2 * groups * (hidden / heads);
  // The block's two residual inputs, the two norms' outputs and the attention's output, each
  // [T, h]; the two norms' inverse roots; the log-sum-exp of each head.
  const block = tokens * (5 * hidden + fused + 2 + heads);
  // Gates and their gradient [T, E]; the plan's two row lists and two offset lists.
  const routing = 2 * tokens * experts + 2 * rows + tokens + experts;
  const preActivations = rows * 2 * width;
  // The last norm's input, output and inverse root, the log-sum-exp of the output head, and the
  // tokens with their targets.
  const head = tokens * (2 * hidden + 4);
  return layers * (block + routing + preActivations) + head;
}
