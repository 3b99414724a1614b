/**
 * How much device memory a run will need, before it starts.
 *
 * @module
 */

import type { TrainConfig } from "./config.ts";
import { countParameters } from "./parameter_count.ts";

/** Bytes of an fp32 or int32 element: all that the CPU build stores. */
const BYTES = 4;

/** Elements that the CPU build's experts take at once; beyond, they are worked in groups. */
const GROUP_ELEMENTS = 2 ** 24;

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
  /** What the widest operation, the experts' backward pass, needs while it runs. */
  readonly scratch: number;
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
 * routed rows; then the scratch of the experts' backward pass and the gradients in flight around it.
 * Not counted: what the memory pool keeps in reserve, and the text in JavaScript's own memory.
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
  const scratch = BYTES * scratchElements(config, rows);
  return {
    rows,
    weights,
    gradients: weights,
    moments: 2 * weights,
    activations,
    scratch,
    total: 4 * weights + activations + scratch,
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

/**
 * Elements that the experts' backward pass takes while it runs: of each routed row the gradients of
 * its input [h] and of its pre-activations [2W] and its activations [W], and the experts' weights
 * packed for the products; around it, four gradients [T, h].
 */
function scratchElements({ model, moe, data }: TrainConfig, rows: number): number {
  const { hidden, ffn } = model;
  const width = ffn / moe.granularity;
  const expert = 3 * hidden * width;
  const all = 3 * width * rows + moe.experts * moe.granularity * expert;
  // A group holds at least one expert, with a fair share of the rows.
  const least = all / (moe.experts * moe.granularity);
  const group = Math.max(least, Math.min(all, GROUP_ELEMENTS));
  return rows * hidden + group + 4 * data.micro_batch * data.sequence * hidden;
}
