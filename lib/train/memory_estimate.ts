/**
 * Estimates a run's device memory, given how many rows are routed and how many keep their
 * pre-activations.
 *
 * @module
 */

import { keptLogits } from "../autograd/cross_entropy.ts";
import type { Device } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import { countParameters } from "../model/parameter_count.ts";
import { routerOf } from "../moe/router_of.ts";
import { segmentCount } from "../moe/segments.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { expertsScratch, headScratch } from "./kernel_scratch.ts";

/** Bytes per fp32 or int32 element; the CPU build stores no others. */
const BYTES = 4;

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
 * @param device The device whose kernels state their scratch memory; null: none.
 * @param config The full configuration.
 * @param rows Routed rows per layer and micro-batch.
 * @param kept Rows per layer that keep their pre-activations.
 * @returns The estimate.
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
  const scratch = largestOperation(device, config, rows, kept);
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
function keptElements(config: TrainConfig): number {
  const { model, moe, data } = config;
  const { layers, hidden, heads, groups } = model;
  const tokens = data.micro_batch * data.sequence;
  const experts = routedSizes(moe).experts;
  const fused = hidden + 2 * groups * (hidden / heads);
  // Per block, each [T, h] and alive until the tape closes: two residual inputs, two norm outputs,
  // the attention's output, and what its projection and the experts add to the residual. Also the
  // two norms' inverse roots, and two numbers per head for the softmax.
  const block = tokens * (7 * hidden + fused + 2 + 2 * heads);
  const networks = mergedNetworks(config);
  const routing = networks > 0
    // The averages; a gate per token and average, and per token its network and the plan's two row
    // lists and offsets; means, logits and weights.
    ? networks * (networkWeights(config) + tokens + 3 * hidden + 2 * experts) + 4 * tokens
    // Gates and their gradient [T, E]; the plan's two row lists, with room for all pairs, and its
    // two lists of offsets.
    : 4 * tokens * experts + tokens + experts;
  // The shared experts' pre-activations, activations and output, and its sum with the routed ones'.
  const width = moe.shared * (model.ffn / moe.granularity);
  const shared = width === 0 ? 0 : tokens * (3 * width + 2 * hidden);
  // The last norm's input, output and inverse root, two numbers for the output head's softmax, and
  // the tokens and targets.
  const head = tokens * (2 * hidden + 5);
  return layers * (block + routing + shared) + head;
}

/**
 * Bytes that the largest operation needs while it runs: the experts' backward pass with four
 * gradients [T, h] around it, the output head's with its logits and two, or the noise of a router
 * that draws, a number per token, choice and expert. Where experts are merged, the first runs the
 * averages, and computes a gradient for each.
 */
function largestOperation(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  kept: number,
): number {
  const { hidden, vocabulary } = config.model;
  const tokens = config.data.micro_batch * config.data.sequence;
  const gradient = BYTES * tokens * hidden;
  const networks = mergedNetworks(config);
  const experts = networks || routedSizes(config.moe).experts;
  // The logits are freed before the first of the experts' passes.
  return Math.max(
    expertsScratch(device, config, { rows, kept, experts }) +
      BYTES * networks * networkWeights(config) + 4 * gradient,
    headScratch(device, config) + BYTES * keptLogits(tokens, vocabulary) + 2 * gradient,
    routerOf(config.moe).draws
      ? BYTES * tokens * routedSizes(config.moe).active * (experts + 1)
      : 0,
  );
}

/** Averages of experts that a layer makes for a micro-batch; 0 if the router merges none. */
function mergedNetworks({ moe, data }: TrainConfig): number {
  return routerOf(moe).merges ? data.micro_batch * segmentCount(data.sequence) : 0;
}

/** Weights of one expert, or of an average of experts. */
function networkWeights({ model: { hidden, ffn }, moe }: TrainConfig): number {
  return 3 * hidden * (ffn / moe.granularity);
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
