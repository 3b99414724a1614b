/**
 * Counts what a micro-batch keeps from its forward to its backward pass, without the experts'
 * pre-activations, whose number a run adapts.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { denseWidth, routedLayers, sharedWidth } from "../config/layer_widths.ts";
import { isRouterPath } from "../config/router_schema.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { segmentCount, segmentLength } from "../moe/segments.ts";
import { DTYPE_BYTES, type Real } from "../tensor/dtype.ts";

/** Bytes of an fp32 or int32 number: what a model in bf16 still computes in fp32, and indices. */
export const BYTES = 4;

/** Bytes kept by the parts of a model. */
export interface KeptBytes {
  /** By all parts together. */
  readonly all: number;
  /** By those that run after the last layer has routed, up to the loss. */
  readonly afterLastRouter: number;
}

/**
 * Counts what a micro-batch keeps.
 *
 * @param config The full configuration.
 * @param dtype The type that the model computes in.
 * @returns The bytes, without the pre-activations of routed rows.
 */
export function keptBytes(config: TrainConfig, dtype: Real): KeptBytes {
  const { layers, hidden } = config.model;
  const tokens = tokensOf(config);
  const real = DTYPE_BYTES[dtype];
  const { decision, dispatch } = routing(config, real);
  const shared = sharedExperts(config, real);
  const head = outputHead(config, real);
  const [routed, each] = [routedLayers(config), block(config, real)];
  const dense = each + denseNetwork(config, real);
  const last = trailingDense(config);
  return {
    all: routed * (each + decision + dispatch + shared) + (layers - routed) * dense + head,
    // The experts' result, and the residual that it is added to; layers without experts; the head.
    afterLastRouter: dispatch + 2 * real * tokens * hidden + shared + last * dense + head,
  };
}

/** Averages of experts that a layer makes for a micro-batch; 0 if the router merges none. */
export function mergedNetworks({ moe, data }: TrainConfig): number {
  return routerOf(moe).merges ? data.micro_batch * segmentCount(data.sequence) : 0;
}

/** Weights of one expert, or of an average of experts. */
export function networkWeights({ model: { hidden, ffn }, moe }: TrainConfig): number {
  return 3 * hidden * (ffn / moe.granularity);
}

/** Tokens of a micro-batch. */
export function tokensOf({ data }: TrainConfig): number {
  return data.micro_batch * data.sequence;
}

/**
 * A block without routing. Each [T, h] and alive until the tape closes: two residual inputs, two
 * norm outputs, the attention's output, and what its projection and the experts add to the residual.
 * Also the two norms' inverse roots, and two numbers per head for the softmax.
 */
function block(config: TrainConfig, real: number): number {
  const { hidden, heads } = config.model;
  const { numbers, roots } = projection(config);
  return tokensOf(config) *
    (real * (6 * hidden + heads * headDim(config.model) + numbers) +
      BYTES * (2 + 2 * heads + roots));
}

/**
 * What a token keeps of its queries, keys and values: the projection; its sum with the bias; the
 * queries and keys before their norms, the projection with the normalised ones, and the norms'
 * inverse roots; the limited projection and the mask of what was not cut off.
 */
function projection(
  { model }: TrainConfig,
): { readonly numbers: number; readonly roots: number } {
  const { heads, groups, qkv_bias, qk_norm, clip_qkv } = model;
  const size = headDim(model);
  const fused = (heads + 2 * groups) * size;
  const isNormed = qk_norm !== "none";
  const normed = isNormed ? fused + (heads + groups) * size : 0;
  return {
    numbers: fused + (qkv_bias ? fused : 0) + normed + (clip_qkv === null ? 0 : 2 * fused),
    roots: isNormed ? { full: 2, head: heads + groups }[qk_norm] : 0,
  };
}

/** A layer's routing: what the router decides by, and how the tokens are dispatched. */
function routing(
  config: TrainConfig,
  real: number,
): { readonly decision: number; readonly dispatch: number } {
  const tokens = tokensOf(config);
  const { experts } = routedSizes(config.moe);
  const networks = mergedNetworks(config);
  const cast = real < BYTES && takesFp32(config) ? BYTES * tokens * config.model.hidden : 0;
  if (networks > 0) {
    return {
      // Steps of the means, logits, weights.
      decision: cast +
        BYTES * (networks * (MEANS * config.model.hidden + 2 * experts) + cutSegments(config)),
      // The averages; a gate per token and average, and per token its network and the plan's two
      // row lists and offsets.
      dispatch: networks * (real * networkWeights(config) + BYTES * tokens) + 4 * BYTES * tokens,
    };
  }
  const pairs = tokens * experts;
  return {
    // Gates and what they came from.
    decision: cast + BYTES * pairs * (1 + routerOf(config.moe).footprint(config.moe).kept),
    // The plan's two row lists, with room for all pairs, and its two lists of offsets.
    dispatch: BYTES * (2 * pairs + tokens + experts),
  };
}

/** Whether the layer casts bf16 states for its router: a file's may take f32 alone. */
function takesFp32({ moe }: TrainConfig): boolean {
  return routerOf(moe).merges || isRouterPath(moe.router);
}

/** Copies of the means, at most, while they are sliced and joined. */
const MEANS = 8;

/**
 * Copies of a merging router's states. Its segments' means read all but the last segment, which is
 * cut off by copying the states in another order, cutting, and restoring the order; segments that
 * divide the sequence are averaged in place.
 */
function cutSegments({ model, data }: TrainConfig): number {
  const length = segmentLength(data.sequence);
  if (data.sequence % length === 0) return 0;
  const before = (segmentCount(data.sequence) - 1) * length;
  return data.micro_batch * (data.sequence + 2 * before) * model.hidden;
}

/**
 * The shared experts' pre-activations, activations and output, and its sum with the routed ones'. A
 * gate adds its logit and its value, in fp32 and in the model's type, and the output times the gate.
 */
function sharedExperts(config: TrainConfig, real: number): number {
  const { model: { hidden }, moe } = config;
  const width = sharedWidth(config);
  if (width === 0) return 0;
  const numbers = 3 * width + 2 * hidden;
  const gate = 2 * BYTES + real * hidden + (real < BYTES ? real : 0);
  return tokensOf(config) * (real * numbers + (moe.shared_gate ? gate : 0));
}

/** The pre-activations and activations of a layer without experts; its output counts in the block. */
function denseNetwork(config: TrainConfig, real: number): number {
  return real * tokensOf(config) * 3 * denseWidth(config);
}

/** Layers without experts after the last one with experts. */
function trailingDense({ model: { layers }, moe }: TrainConfig): number {
  let last = layers - 1;
  while (moe.dense_layers.includes(last)) last--;
  return layers - 1 - last;
}

/**
 * The last norm's input, output and inverse root, two numbers for the output head's softmax, and the
 * tokens and targets. Also the transposed table of a tied head.
 */
function outputHead(config: TrainConfig, real: number): number {
  const { hidden, vocabulary, tied } = config.model;
  return tokensOf(config) * (2 * real * hidden + 5 * BYTES) +
    (tied ? real * vocabulary * hidden : 0);
}
