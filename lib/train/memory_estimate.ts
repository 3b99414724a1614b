/**
 * Estimates a run's device memory, given how many rows are routed and how many keep their
 * pre-activations.
 *
 * @module
 */

import { keptLogits } from "../autograd/cross_entropy.ts";
import type { Device } from "../autograd/device.ts";
import { typeToExpect } from "../config/compute_type.ts";
import type { TrainConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { denseWidth, routedLayers } from "../config/layer_widths.ts";
import { countParameters } from "../model/parameter_count.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { DTYPE_BYTES, type Real } from "../tensor/dtype.ts";
import { BYTES, keptBytes, mergedNetworks, networkWeights, tokensOf } from "./kept_bytes.ts";
import { expertsScratch, headScratch } from "./kernel_scratch.ts";

/** A run's memory in bytes, for a given number of routed rows. */
export interface MemoryEstimate {
  /** Routed rows per layer and micro-batch that the estimate assumes. */
  readonly rows: number;
  /** Rows per layer that keep their pre-activations; the others' are recomputed. */
  readonly kept_rows: number;
  /** fp32 weights. */
  readonly weights: number;
  /** bf16 copies of the weights that products read; 0 where the model computes in fp32. */
  readonly copies: number;
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
 * @param logits The most bytes of logits that are kept.
 * @returns The estimate.
 */
export function estimateAt(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  kept: number,
  logits: number,
): MemoryEstimate {
  const dtype = typeToExpect(config, device);
  const weights = BYTES * countParameters(config.model, config.moe).total;
  const copies = dtype === "f32" ? 0 : DTYPE_BYTES[dtype] * copiedWeights(config);
  const activations = keptBytes(config, dtype).all +
    routedLayers(config) * kept * rowBytes(config, dtype);
  const scratch = largestOperation(device, config, { dtype, rows, kept, logits });
  return {
    rows,
    kept_rows: kept,
    weights,
    copies,
    gradients: weights,
    moments: 2 * weights,
    activations,
    scratch,
    total: 4 * weights + copies + activations + scratch,
  };
}

/**
 * Weights that a model in bf16 reads as copies: those of products. Norms and routers compute in
 * fp32, and averages of experts are made of the fp32 weights.
 */
function copiedWeights(config: TrainConfig): number {
  const { model, moe } = config;
  const { embeddings, attention, experts } = countParameters(model, moe);
  const merged = routerOf(moe).merges
    ? routedLayers(config) * moe.experts * 3 * model.hidden * model.ffn
    : 0;
  return embeddings + attention + experts - merged;
}

/** What the largest operation's size follows from, besides the configuration. */
interface PassSizes {
  readonly dtype: Real;
  /** Routed rows per layer and micro-batch. */
  readonly rows: number;
  /** How many of them keep their pre-activations. */
  readonly kept: number;
  /** The most bytes of logits that are kept. */
  readonly logits: number;
}

/**
 * Bytes that the largest operation needs while it runs, beside what is kept until the backward pass:
 *
 * - the experts' backward pass, with the gates' gradient and four gradients [T, h] around it. Where
 *   experts are merged, it runs the averages, and computes a gradient for each.
 * - the router's backward pass, with gradients of gates and logits. The experts' scratch is free by
 *   then, but can be smaller where narrow experts are many.
 * - the output head's, with its logits and two gradients [T, h]. It ends before the experts' first.
 *   A tied head's gradient is transposed before it is added to the table's.
 * - attention's backward pass, where heads are wide or normalised; that of a shared expert or of a
 *   layer without experts, where it is wider than the experts.
 * - the routing of the last layer, before the parts after it have anything to keep.
 */
function largestOperation(
  device: Device | null,
  config: TrainConfig,
  { dtype, rows, kept, logits }: PassSizes,
): number {
  const { hidden, vocabulary, tied } = config.model;
  const tokens = tokensOf(config);
  const real = DTYPE_BYTES[dtype];
  const gradient = real * tokens * hidden;
  const networks = mergedNetworks(config);
  const { experts } = routedSizes(config.moe);
  const spec = routerOf(config.moe);
  const pairs = BYTES * tokens * experts;
  // The gradient of an average: the kernel's fp32 sum, and what it is rounded to.
  const averages = real < BYTES ? BYTES + real : BYTES;
  const transposed = tied ? BYTES * hidden * vocabulary : 0;
  const gates = networks > 0 || spec.weights(hidden, experts) === 0 ? 0 : pairs;
  return Math.max(
    expertsScratch(device, config, { dtype, rows, kept, experts: networks || experts }) +
      averages * networks * networkWeights(config) + gates + 4 * gradient,
    2 * gates + 4 * gradient,
    headScratch(device, config, { dtype, logits }) +
      real * keptLogits(tokens, vocabulary, dtype, logits) + 2 * gradient + transposed,
    2 * transposed + gradient,
    attentionGradients(config, real),
    networkGradients(config, real),
    spec.footprint(config.moe).scratch * pairs -
      keptBytes(config, dtype).afterLastRouter - kept * rowBytes(config, dtype),
  );
}

/**
 * Gradients in flight in attention's backward pass: of the block's output and the attended values,
 * and of the projection; or of the projection, after and before its norms and by heads, and of the
 * queries and keys before theirs.
 */
function attentionGradients(config: TrainConfig, real: number): number {
  const { hidden, heads, groups, qk_norm } = config.model;
  const size = headDim(config.model);
  const fused = (heads + 2 * groups) * size;
  const most = qk_norm === "none" ? heads * size + fused : 3 * fused + (heads + groups) * size;
  return real * tokensOf(config) * (hidden + most);
}

/**
 * Gradients in flight in the backward pass of the widest network that every token uses, a shared
 * expert or that of a layer without experts: of its activations and pre-activations, and of the
 * states around it.
 */
function networkGradients(config: TrainConfig, real: number): number {
  const dense = config.moe.dense_layers.length === 0 ? 0 : denseWidth(config);
  const width = Math.max(config.moe.shared_ffn ?? 0, dense);
  return width === 0 ? 0 : real * tokensOf(config) * (3 * width + 2 * config.model.hidden);
}

/**
 * The size of a row's pre-activations.
 *
 * @param config The full configuration.
 * @param dtype The type that the model computes in.
 * @returns Bytes of 2W numbers, where W is the width of an expert.
 */
export function rowBytes({ model, moe }: TrainConfig, dtype: Real): number {
  return DTYPE_BYTES[dtype] * 2 * (model.ffn / moe.granularity);
}
