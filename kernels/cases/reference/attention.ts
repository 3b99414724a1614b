import { normalizer as normalizerOf } from "./reduction.ts";

/** Sizes of causal grouped-query attention. */
export interface AttentionSizes {
  /** B. */
  readonly batch: number;
  /** S. */
  readonly sequence: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Columns per head. */
  readonly headDim: number;
  /** Elements between rows of q, k and v. */
  readonly stride: number;
}

/**
 * Causal grouped-query attention over one buffer with columns [q heads | k groups | v groups].
 *
 * @param qkv [B*S, stride].
 * @param sizes The sizes.
 * @returns out [B*S, heads*headDim], and the {@linkcode normalizerOf normalizer} of the scores of each row and
 * head, [B*S, heads, 2].
 */
export function attention(
  qkv: Float64Array,
  sizes: AttentionSizes,
): { out: Float64Array; normalizer: Float64Array } {
  const { batch, sequence, heads, groups, headDim, stride } = sizes;
  const rows = batch * sequence;
  const out = new Float64Array(rows * heads * headDim);
  const normalizer = new Float64Array(2 * rows * heads);
  const [firstKey, firstValue] = [heads * headDim, (heads + groups) * headDim];
  for (let r = 0; r < rows; r++) {
    const position = r % sequence;
    const start = r - position;
    for (let head = 0; head < heads; head++) {
      const group = Math.floor(head / (heads / groups));
      const q = qkv.subarray(r * stride + head * headDim, r * stride + (head + 1) * headDim);
      const scores = new Float64Array(position + 1);
      for (let j = 0; j <= position; j++) {
        const key = (start + j) * stride + firstKey + group * headDim;
        let score = 0;
        for (let d = 0; d < headDim; d++) score += q[d]! * qkv[key + d]!;
        scores[j] = score / Math.sqrt(headDim);
      }
      const [largest, total] = normalizerOf(scores);
      normalizer.set([largest, total], 2 * (r * heads + head));
      const target = (r * heads + head) * headDim;
      for (let j = 0; j <= position; j++) {
        const weight = Math.exp(scores[j]! - largest) / total;
        const value = (start + j) * stride + firstValue + group * headDim;
        for (let d = 0; d < headDim; d++) {
          out[target + d] = out[target + d]! + weight * qkv[value + d]!;
        }
      }
    }
  }
  return { out, normalizer };
}
