/** Attention of new tokens over those in a cache. @module */

import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { devicePlaces, type PlacedTokens } from "./new_tokens.ts";

/** A layer's part of a cache, by device address. */
export interface CachedTokens {
  /** Device address of the keys and values, of the projection's type, `[batch, capacity, 2 · groups · headDim]`. */
  readonly tokens: bigint;
  /** Device address of the sequence lengths `[batch]`. */
  readonly lengths: bigint;
  /** Number of sequences. */
  readonly batch: number;
  /** Maximum tokens per sequence. */
  readonly capacity: number;
  /** Number of key/value head groups. */
  readonly groups: number;
  /** Size of a head. */
  readonly headDim: number;
}

/** Attends with the projection `qkv`, rotated in place, and appends its keys and values. */
export function cachedAttention<R extends Real>(
  qkv: DeviceTensor<R>,
  { tokens, lengths, batch, capacity, groups, headDim }: CachedTokens,
  placed: PlacedTokens,
  heads: number,
  ropeBase: number,
): DeviceTensor<R, readonly [number, number]> {
  const out = qkv.memory.allocate(qkv.dtype, [placed.total, heads * headDim] as const);
  const { kernels: k } = qkv.memory;
  using places = devicePlaces(qkv.memory, placed);
  k.check(
    k.symbols.remoe_attention_extend(
      k.handle,
      DTYPE_CODE[qkv.dtype],
      out.address,
      qkv.address,
      tokens,
      lengths,
      places.rows?.address ?? 0n,
      places.starts?.address ?? 0n,
      placed.total,
      placed.rows.length,
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
  // Recorded only to fail: without a node, the gradient would silently leave out the attention.
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
