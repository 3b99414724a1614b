import { DTypeCode } from "../../lib/ffi/mod.ts";
import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { attention, type AttentionSizes } from "./reference/attention.ts";
import { dot } from "./reference/reduction.ts";
import { plus, rounded, summed } from "./tolerance.ts";

/** Sizes of attention over one buffer [q heads | k groups | v groups]. */
export interface AttentionOptions extends Omit<AttentionSizes, "stride"> {
  /** Unused columns after the values. */
  readonly padding?: number;
  /** Does not keep the softmax normalizer for the gradient. */
  readonly withoutNormalizer?: boolean;
  /** Magnitude of the queries, 1 by default; large ones saturate the softmax. */
  readonly scale?: number;
}

function sizesOf(options: AttentionOptions): AttentionSizes & { rows: number; used: number } {
  const { batch, sequence, heads, groups, headDim, padding = 0 } = options;
  const used = (heads + 2 * groups) * headDim;
  return {
    batch,
    sequence,
    heads,
    groups,
    headDim,
    rows: batch * sequence,
    used,
    stride: used + padding,
  };
}

function attentionName(operation: string, options: AttentionOptions): string {
  const { batch, sequence, heads, groups, headDim, padding = 0, scale = 1 } = options;
  return `${operation} B=${batch} S=${sequence} ${heads}/${groups} heads of ${headDim}` +
    `${padding === 0 ? "" : ` padding ${padding}`}${scale === 1 ? "" : ` queries of ${scale}`}` +
    `${options.withoutNormalizer ? " without normalizer" : ""}`;
}

/** Scores, then values: 2 products of S x S x headDim per head, half of which causality skips. */
function forwardFlops({ batch, sequence, heads, headDim }: AttentionOptions): number {
  return 2 * batch * heads * sequence * (sequence + 1) * headDim;
}

/** Byte offsets of q, k and v within a row. */
function starts({ heads, groups, headDim }: AttentionSizes): [bigint, bigint, bigint] {
  return [0n, BigInt(4 * heads * headDim), BigInt(4 * (heads + groups) * headDim)];
}

/** Draws q, k and v. */
function drawQkv(
  normal: (length: number) => Float32Array<ArrayBuffer>,
  options: AttentionOptions,
): Float32Array<ArrayBuffer> {
  const { rows, stride, heads, headDim } = sizesOf(options);
  const { scale = 1 } = options;
  return normal(rows * stride).map((z, i) => i % stride < heads * headDim ? z * scale : z);
}

/**
 * A case of `remoe_attention_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function attentionCase(options: AttentionOptions): OperationCase {
  const sizes = sizesOf(options);
  const { batch, sequence, heads, groups, headDim, rows, stride, used } = sizes;
  const { withoutNormalizer = false, scale = 1 } = options;
  // An error in a score is a relative error of its weight.
  const scores = summed(headDim, scale / Math.sqrt(headDim));
  return operationCase({
    name: attentionName("attention_forward", options),
    operation: "attention_forward",
    symbols: ["remoe_attention_forward"],
    flops: forwardFlops(options),
    bytes: 4 * rows * (used + heads * headDim),
    inputs: (random) => ({ qkv: drawQkv((length) => random.normal(length), options) }),
    outputs: {
      out: output([rows, heads * headDim], plus(scores, plus(rounded(8), summed(8)))),
      normalizer: output([rows, heads, 2], plus(scores, rounded(8, scale))),
    },
    unwanted: withoutNormalizer ? ["normalizer"] : [],
    call(k, at) {
      const [q, key, value] = starts(sizes);
      const status = k.symbols.remoe_attention_forward(
        k.handle,
        DTypeCode.f32,
        at("out"),
        at("normalizer"),
        at("qkv") + q,
        at("qkv") + key,
        at("qkv") + value,
        batch,
        sequence,
        heads,
        groups,
        headDim,
        stride,
      );
      k.check(status, "attention_forward");
    },
    reference: ({ qkv }) => attention(qkv, sizes),
  });
}

/**
 * A case of `remoe_attention_gradient`. Its gradients share one buffer, as in the transformer
 * block.
 *
 * @param options Sizes.
 * @param samples Elements to differentiate individually.
 * @returns The case.
 */
export function attentionGradientCase(options: AttentionOptions, samples = 24): GradientCase {
  const sizes = sizesOf(options);
  const { batch, sequence, heads, groups, headDim, rows, stride, used } = sizes;
  const { scale = 1 } = options;
  const scores = summed(headDim, scale / Math.sqrt(headDim));
  // dk and dv sum over the queries of a group; dP has a magnitude of sqrt(headDim).
  const queries = Math.sqrt((sequence * heads) / groups);
  const gradient = summed(queries * 4 + headDim, scale);
  return gradientCase({
    name: attentionName("attention_gradient", options),
    operation: "attention_gradient",
    symbols: ["remoe_attention_gradient"],
    samples,
    flops: 2.5 * forwardFlops(options),
    bytes: 4 * rows * (2 * used + 2 * heads * headDim),
    inputs: (random) => {
      const qkv = drawQkv((length) => random.normal(length), options);
      const { out, normalizer } = attention(doubled(qkv), sizes);
      return {
        qkv,
        dout: random.normal(rows * heads * headDim),
        out: Float32Array.from(out),
        normalizer: Float32Array.from(normalizer),
      };
    },
    outputs: { dqkv: output([rows, stride], plus(scores, plus(rounded(16), gradient))) },
    gradients: {
      dqkv: { of: "qkv", where: (index) => index % stride < used, elsewhere: "untouched" },
    },
    call(k, at) {
      const [q, key, value] = starts(sizes);
      const status = k.symbols.remoe_attention_gradient(
        k.handle,
        DTypeCode.f32,
        at("dqkv") + q,
        at("dqkv") + key,
        at("dqkv") + value,
        at("dout"),
        at("out"),
        at("normalizer"),
        at("qkv") + q,
        at("qkv") + key,
        at("qkv") + value,
        batch,
        sequence,
        heads,
        groups,
        headDim,
        stride,
      );
      k.check(status, "attention_gradient");
    },
    loss: ({ qkv, dout }) => dot(dout, attention(qkv, sizes).out),
  });
}

const SHAPES: readonly AttentionOptions[] = [
  { batch: 1, sequence: 1, heads: 1, groups: 1, headDim: 2 },
  { batch: 2, sequence: 3, heads: 2, groups: 1, headDim: 4 },
  { batch: 3, sequence: 1, heads: 4, groups: 2, headDim: 8 },
  { batch: 1, sequence: 17, heads: 4, groups: 4, headDim: 6, padding: 5 },
  { batch: 2, sequence: 33, heads: 6, groups: 2, headDim: 7 },
  { batch: 1, sequence: 65, heads: 2, groups: 1, headDim: 96 },
  { batch: 1, sequence: 64, heads: 2, groups: 2, headDim: 32, scale: 30 },
];

/** Cases of attention. */
export const ATTENTION_CASES: readonly OperationCase[] = [
  ...SHAPES.map(attentionCase),
  attentionCase({ batch: 2, sequence: 256, heads: 4, groups: 2, headDim: 32 }),
  attentionCase({
    batch: 1,
    sequence: 131,
    heads: 3,
    groups: 1,
    headDim: 64,
    withoutNormalizer: true,
  }),
];

/** Cases of its gradient. */
export const ATTENTION_GRADIENT_CASES: readonly GradientCase[] = [
  ...SHAPES.map((shape) => attentionGradientCase(shape)),
  attentionGradientCase({ batch: 1, sequence: 256, heads: 4, groups: 2, headDim: 32 }, 8),
  attentionGradientCase({ batch: 1, sequence: 131, heads: 3, groups: 1, headDim: 64 }, 8),
];
