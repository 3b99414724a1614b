import { type OperationCase, operationCase, output } from "./case.ts";
import { logSumExp } from "./reference/reduction.ts";
import { rope } from "./reference/rope.ts";
import { plus, rounded, summed } from "./tolerance.ts";

/** Sizes of attention against a cache. */
export interface AttentionDecodeOptions {
  /** Tokens of each sequence before the new one. */
  readonly lengths: readonly number[];
  /** Tokens that the cache has room for. */
  readonly capacity: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Columns of one head. */
  readonly headDim: number;
  /** Columns after the values, which belong to nobody. */
  readonly padding?: number;
}

const BASE = 10_000;

/** The new token of a sequence: its queries and key turned, and its key and value in the cache. */
function decodeSequence(
  qkv: Float64Array,
  cache: Float64Array,
  length: number,
  { heads, groups, headDim }: AttentionDecodeOptions,
): Float64Array {
  qkv.set(rope(qkv, {
    rows: 1,
    stride: qkv.length,
    sequence: 1,
    heads: heads + groups,
    headDim,
    base: BASE,
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

/**
 * A case of `remoe_attention_decode`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function attentionDecodeCase(options: AttentionDecodeOptions): OperationCase {
  const { lengths, capacity, heads, groups, headDim, padding = 0 } = options;
  const batch = lengths.length;
  const stride = (heads + 2 * groups) * headDim + padding;
  const row = 2 * groups * headDim;
  const tokens = lengths.reduce((sum, length) => sum + length + 1, 0);
  const scores = plus(summed(headDim, 1 / Math.sqrt(headDim)), rounded(8));
  return operationCase({
    name: `attention_decode lengths ${lengths.join(",")} of ${capacity} ${heads}/${groups} heads ` +
      `of ${headDim}${padding === 0 ? "" : ` padding ${padding}`}`,
    operation: "attention_decode",
    symbols: ["remoe_attention_decode"],
    flops: 4 * tokens * heads * headDim,
    bytes: 4 * tokens * row,
    inputs: (random) => ({
      qkv: random.normal(batch * stride),
      cache: random.normal(batch * capacity * row),
      lengths: Int32Array.from(lengths),
    }),
    outputs: {
      out: output([batch, heads * headDim], plus(scores, plus(rounded(16), summed(8)))),
      cache: output([batch, capacity, row], rounded(8, 2)),
      qkv: output([batch, stride], rounded(8, 2)),
    },
    call(k, at) {
      const status = k.symbols.remoe_attention_decode(
        k.handle,
        at("out"),
        at("qkv"),
        at("cache"),
        at("lengths"),
        batch,
        capacity,
        heads,
        groups,
        headDim,
        stride,
        BASE,
      );
      k.check(status, "attention_decode");
    },
    reference: ({ qkv, cache }) => {
      const after = cache.slice();
      const turned = qkv.slice();
      const out = lengths.flatMap((length, b) => [
        ...decodeSequence(
          turned.subarray(b * stride, (b + 1) * stride),
          after.subarray(b * capacity * row, (b + 1) * capacity * row),
          length,
          options,
        ),
      ]);
      return { out: Float64Array.from(out), cache: after, qkv: turned };
    },
  });
}

/** Cases of attention against a cache. */
export const ATTENTION_DECODE_CASES: readonly OperationCase[] = [
  { lengths: [0], capacity: 1, heads: 1, groups: 1, headDim: 2 },
  { lengths: [3, 0, 7], capacity: 8, heads: 4, groups: 2, headDim: 8 },
  { lengths: [33], capacity: 40, heads: 6, groups: 2, headDim: 18, padding: 3 },
  { lengths: [200, 255], capacity: 256, heads: 4, groups: 2, headDim: 32 },
].map(attentionDecodeCase);
