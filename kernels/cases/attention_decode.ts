import { DTypeCode } from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { decodeToken } from "./reference/attention_decode.ts";
import { plus, rounded, summed } from "./tolerance.ts";

/** Sizes of attention against a cache. */
export interface AttentionDecodeOptions {
  /** Tokens of each sequence before the new one. */
  readonly lengths: readonly number[];
  /** Capacity of the cache in tokens. */
  readonly capacity: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Columns per head. */
  readonly headDim: number;
  /** Unused columns after the values. */
  readonly padding?: number;
}

const BASE = 10_000;

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
        DTypeCode.f32,
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
        ...decodeToken(
          turned.subarray(b * stride, (b + 1) * stride),
          after.subarray(b * capacity * row, (b + 1) * capacity * row),
          length,
          { heads, groups, headDim, ropeBase: BASE },
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
