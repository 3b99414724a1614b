import { spread } from "./attention.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { decodeToken } from "./reference/attention_decode.ts";
import { activations, type Real } from "./stored.ts";
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
  /** Element type of the activations, fp32 by default. */
  readonly dtype?: Real;
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
  const { dtype, code, bytes, rounding, store, ...inDtype } = activations(options.dtype);
  const scores = plus(inDtype.product(headDim, 1 / Math.sqrt(headDim)), rounded(8));
  // Of q when it is rotated and when it is scaled, of the new k, and of the weights, of which those
  // of many keys even out.
  const inside = inDtype.boundaries(1, 4);
  const share = (index: number) => spread(lengths[Math.floor(index / (heads * headDim))]!);
  return operationCase({
    name: `attention_decode lengths ${listed(lengths)} of ${capacity} ${heads}/${groups} heads ` +
      `of ${headDim}${padding === 0 ? "" : ` padding ${padding}`}${inDtype.suffix}`,
    operation: "attention_decode",
    symbols: ["remoe_attention_decode"],
    flops: 4 * tokens * heads * headDim,
    bytes: bytes * tokens * row,
    dtype,
    inputs: (random) => ({
      qkv: store(random.normal(batch * stride)),
      cache: store(random.normal(batch * capacity * row)),
      lengths: Int32Array.from(lengths),
    }),
    outputs: {
      out: output(
        [batch, heads * headDim],
        plus(plus(scores, plus(rounded(16), summed(8))), plus(inside, rounding)),
        dtype,
        dtype === "bf16" ? share : undefined,
      ),
      cache: output([batch, capacity, row], plus(rounded(8, 2), rounding), dtype),
      qkv: output([batch, stride], plus(rounded(8, 2), rounding), dtype),
    },
    call(k, at) {
      const status = k.symbols.remoe_attention_decode(
        k.handle,
        code,
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

function listed(lengths: readonly number[]): string {
  const areEqual = lengths.length > 1 && lengths.every((length) => length === lengths[0]);
  return areEqual ? `${lengths.length} x ${lengths[0]}` : lengths.join(",");
}

const SIZES: readonly AttentionDecodeOptions[] = [
  { lengths: [0], capacity: 1, heads: 1, groups: 1, headDim: 2 },
  { lengths: [3, 0, 7], capacity: 8, heads: 4, groups: 2, headDim: 8 },
  { lengths: [33], capacity: 40, heads: 6, groups: 2, headDim: 18, padding: 3 },
  { lengths: [200, 255], capacity: 256, heads: 4, groups: 2, headDim: 32 },
  { lengths: [599, 5, 256], capacity: 600, heads: 6, groups: 1, headDim: 64 },
  { lengths: [20], capacity: 32, heads: 5, groups: 1, headDim: 256 },
  { lengths: [70], capacity: 80, heads: 2, groups: 1, headDim: 128 },
];

/** Cases of attention against a cache. */
export const ATTENTION_DECODE_CASES: readonly OperationCase[] = (["f32", "bf16"] as const).flatMap(
  (dtype) => SIZES.map((sizes) => attentionDecodeCase({ ...sizes, dtype })),
);
