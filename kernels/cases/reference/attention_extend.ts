import { logSumExp } from "./reduction.ts";
import { rope } from "./rope.ts";

/** Sizes of attention for one token. */
export interface ExtendSizes {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Columns per head. */
  readonly headDim: number;
  /** Base of the rotary angles. */
  readonly ropeBase: number;
}

/**
 * Attention of a new token: rotates its queries and key, and appends its key and value to the
 * cache.
 *
 * @param qkv Its columns [q heads | k groups | v groups], possibly more, rotated in place.
 * @param cache Keys and values of its sequence, [capacity, 2*groups*headDim].
 * @param length Tokens of the sequence before it.
 * @param sizes The sizes.
 * @returns [heads*headDim].
 */
export function extendToken(
  qkv: Float64Array,
  cache: Float64Array,
  length: number,
  { heads, groups, headDim, ropeBase }: ExtendSizes,
): Float64Array {
  qkv.set(rope(qkv, {
    rows: 1,
    stride: qkv.length,
    sequence: 1,
    heads: heads + groups,
    headDim,
    base: ropeBase,
    offset: length,
  }));
  const row = 2 * groups * headDim;
  cache.set(qkv.subarray(heads * headDim, heads * headDim + row), length * row);
  const out = new Float64Array(heads * headDim);
  for (let head = 0; head < heads; head++) {
    const key = Math.floor(head / (heads / groups)) * headDim;
    const value = key + groups * headDim;
    const at = (position: number, column: number) => cache[position * row + column]!;
    const scores = Float64Array.from({ length: length + 1 }, (_, position) => {
      let score = 0;
      for (let d = 0; d < headDim; d++) {
        score += qkv[head * headDim + d]! * at(position, key + d);
      }
      return score / Math.sqrt(headDim);
    });
    const normalizer = logSumExp(scores);
    for (let d = 0; d < headDim; d++) {
      out[head * headDim + d] = scores.reduce(
        (sum, score, position) => sum + Math.exp(score - normalizer) * at(position, value + d),
        0,
      );
    }
  }
  return out;
}
