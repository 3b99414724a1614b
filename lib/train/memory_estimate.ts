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
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { keptElements, mergedNetworks, networkWeights, tokensOf } from "./kept_elements.ts";
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
  /**
   * What the largest operation needs while it runs: the backward pass of the experts, of a router or
   * of the head, or the routing.
   */
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
  const activations = BYTES * keptElements(config).all +
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

/**
 * Bytes that the largest operation needs while it runs, beside what is kept until the backward pass:
 *
 * - the experts' backward pass, with the gates' gradient and four gradients [T, h] around it. Where
 *   experts are merged, it runs the averages, and computes a gradient for each.
 * - the router's backward pass, with gradients of gates and logits. The experts' scratch is free by
 *   then, but can be smaller where narrow experts are many.
 * - the output head's, with its logits and two gradients [T, h]. It ends before the experts' first.
 * - the routing of the last layer, before the parts after it have anything to keep.
 */
function largestOperation(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  kept: number,
): number {
  const { hidden, vocabulary } = config.model;
  const tokens = tokensOf(config);
  const gradient = BYTES * tokens * hidden;
  const networks = mergedNetworks(config);
  const { experts } = routedSizes(config.moe);
  const spec = routerOf(config.moe);
  const pairs = BYTES * tokens * experts;
  const gates = networks > 0 || spec.weights(hidden, experts) === 0 ? 0 : pairs;
  return Math.max(
    expertsScratch(device, config, { rows, kept, experts: networks || experts }) +
      BYTES * networks * networkWeights(config) + gates + 4 * gradient,
    2 * gates + 4 * gradient,
    headScratch(device, config) + BYTES * keptLogits(tokens, vocabulary) + 2 * gradient,
    spec.footprint(config.moe).scratch * pairs -
      BYTES * keptElements(config).afterLastRouter - kept * rowBytes(config),
  );
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
