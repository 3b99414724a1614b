/** Attention of one new token per sequence to those that a cache holds. @module */

import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** What a layer's cache holds, and where. */
export interface CachedTokens {
  /** Device address of its keys and values, `[batch, capacity, 2 · groups · headDim]`. */
  readonly tokens: bigint;
  /** Device address of the tokens of each sequence. */
  readonly lengths: bigint;
  /** Sequences. */
  readonly batch: number;
  /** Tokens of a sequence there is room for. */
  readonly capacity: number;
  /** Groups of heads that share keys and values. */
  readonly groups: number;
  /** Size of a head. */
  readonly headDim: number;
}

/** Attends with the projection `qkv`, which it turns in place, and keeps its keys and values. */
export function cachedAttention(
  qkv: DeviceTensor<"f32">,
  { tokens, lengths, batch, capacity, groups, headDim }: CachedTokens,
  heads: number,
  ropeBase: number,
): DeviceTensor<"f32", readonly [number, number]> {
  const out = qkv.memory.allocate("f32", [batch, heads * headDim] as const);
  const { kernels: k } = qkv.memory;
  k.check(
    k.symbols.remoe_attention_decode(
      k.handle,
      out.address,
      qkv.address,
      tokens,
      lengths,
      batch,
      capacity,
      heads,
      groups,
      headDim,
      (heads + 2 * groups) * headDim,
      ropeBase,
    ),
    "cached attention",
  );
  // Recorded only to refuse: without a node the gradient would leave out the attention in silence.
  recordNode({
    operation: "cached attention",
    inputs: [qkv],
    outputs: [out],
    saved: [],
    backward() {
      throw new Error(
        "Cannot differentiate attention with a cache: run whole sequences without one instead, as " +
          "model.logits(tokens, sequence) does",
      );
    },
  });
  return out;
}
