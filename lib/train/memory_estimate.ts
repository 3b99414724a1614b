/**
 * How much device memory a run will need, before it starts.
 *
 * @module
 */

import { requireOptions } from "../arguments.ts";
import { requireBytes, requireConfig } from "../config/require.ts";
import { keptLogits } from "../autograd/cross_entropy.ts";
import type { TrainConfig } from "../config/config.ts";
import { keptRows, layerRows, rowBytes } from "./kept_rows_plan.ts";
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

/** What {@linkcode estimateMemory} needs besides the configuration. */
export interface EstimateOptions {
  /** Bytes of device memory that the run may take; default: no limit. */
  readonly limit?: number;
}

/**
 * Estimates device memory by stage.
 *
 * Counted: weights, gradients, AdamW's moments, and of each layer what a micro-batch keeps from
 * its forward pass to its backward pass: residual inputs, norm outputs, the fused query, key and
 * value, the attention's output and log-sum-exp, gates, dispatch plan, pre-activations of the
 * routed rows; then the scratch of the experts' backward pass and the gradients in flight around it,
 * or the logits of the output head where they are larger.
 * Not counted: what the memory pool keeps in reserve, and the text and the program in JavaScript's
 * own memory.
 *
 * @param config The whole configuration.
 * @param options The limit to stay within, by keeping the pre-activations of fewer rows.
 * @returns Bytes in the dense and in the sparse stage.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { estimateMemory, parseConfig } from "@remoe/remoe/train";
 *
 * const config = parseConfig({ preset: "182m", data: { micro_batch: 2 } });
 * const { dense, sparse } = estimateMemory(config, { limit: 16 * 2 ** 30 });
 * assert(dense.kept_rows < dense.rows && dense.total <= 16 * 2 ** 30);
 * assert(sparse.kept_rows > sparse.rows && sparse.total < dense.total);
 * ```
 */
export function estimateMemory(config: TrainConfig, options: EstimateOptions = {}): StageMemory {
  requireOptions("estimate memory", options);
  const { limit = Infinity } = options;
  requireConfig(config);
  requireBytes("estimate memory", "limit", limit);
  const { dense, sparse } = layerRows(config);
  const [first, last] = [dense, sparse].map((rows) =>
    estimateAt(config, rows, keptAt(config, rows, limit))
  );
  return { dense: first!, sparse: last! };
}

/** Rows that a layer keeps when all have the same number of rows. */
function keptAt(config: TrainConfig, rows: number, limit: number): number {
  const layers = new Array<number>(config.model.layers).fill(rows);
  return keptRows(config, layers, keptBudget(config, limit))[0]!;
}

/**
 * Counts the pre-activations that a limit leaves room for.
 *
 * @param config The whole configuration.
 * @param limit Bytes of device memory.
 * @returns Rows, those of all layers together; negative where the limit is too low without any.
 */
export function keptBudget(config: TrainConfig, limit: number): number {
  const least = estimateAt(config, layerRows(config).dense, 0).total;
  return Math.floor((limit - least) / rowBytes(config));
}

function estimateAt(config: TrainConfig, rows: number, kept: number): MemoryEstimate {
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
