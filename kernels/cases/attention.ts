import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
  type Share,
} from "./case.ts";
import { attention, type AttentionSizes } from "./reference/attention.ts";
import { dot } from "./reference/reduction.ts";
import { type Activations, activations, type Real } from "./stored.ts";
import { plus, rounded, summed, type Tolerance } from "./tolerance.ts";

/** Sizes of attention over one buffer [q heads | k groups | v groups]. */
export interface AttentionOptions extends Omit<AttentionSizes, "stride"> {
  /** Unused columns after the values. */
  readonly padding?: number;
  /** Does not keep the softmax normalizer for the gradient. */
  readonly withoutNormalizer?: boolean;
  /** Magnitude of the queries, 1 by default; large ones saturate the softmax. */
  readonly scale?: number;
  /** Element type of the activations, fp32 by default. */
  readonly dtype?: Real;
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
    `${options.withoutNormalizer ? " without normalizer" : ""}${activations(options.dtype).suffix}`;
}

/** Scores, then values: 2 products of S x S x headDim per head, half of which causality skips. */
function forwardFlops({ batch, sequence, heads, headDim }: AttentionOptions): number {
  return 2 * batch * heads * sequence * (sequence + 1) * headDim;
}

/** Byte offsets of q, k and v within a row. */
function starts(
  { heads, groups, headDim }: AttentionSizes,
  bytes: number,
): [bigint, bigint, bigint] {
  return [0n, BigInt(bytes * heads * headDim), BigInt(bytes * (heads + groups) * headDim)];
}

/** Draws q, k and v. */
function drawQkv(normal: (length: number) => Float32Array<ArrayBuffer>, options: AttentionOptions) {
  const { rows, stride, heads, headDim } = sizesOf(options);
  const { scale = 1 } = options;
  const drawn = normal(rows * stride).map((z, i) => i % stride < heads * headDim ? z * scale : z);
  return activations(options.dtype).store(drawn);
}

/**
 * The root of the sum of the squares of a query's weights over the keys up to a position. With scores
 * of size 1, exp(score) has squares of the mean e^2 and the variance e^8 - e^4, and the sum over n
 * keys, divided by that of the weights, is e/n with a relative deviation of sqrt((e^4 - 1)/n), of
 * which the worst rows have about 2. Larger scores leave one weight of nearly 1.
 *
 * @param position The query's position.
 * @param scale The size of the scores.
 * @param most The most that it can be: 1 for a query.
 * @returns The size of its sum over the values, with values of size 1.
 */
export function spread(position: number, scale = 1, most = 1): number {
  if (scale > 1) return most;
  const keys = position + 1;
  const deviations = 2 * Math.sqrt((Math.E ** 4 - 1) / keys);
  return Math.min(most, Math.sqrt((Math.E / keys) * (1 + deviations)));
}

/**
 * The same of the weights that a key gets from the queries of a head: those of queries at i sum to
 * about e/j over all i from the key's position j on, and to at most that of the first key.
 */
function mostSpread(scale: number): number {
  return scale > 1 ? 3 : 2;
}

/**
 * The roundings inside attention in bfloat16, where a score is rounded as its query is and errs by
 * `scale` times what a number of size 1 does: a weight gets that error and its own.
 */
function scoreRoundings(scale: number, others: number): number {
  return scale ** 2 + others;
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
  const inDtype = activations(options.dtype);
  const { dtype, code, bytes, rounding } = inDtype;
  const isBf16 = dtype === "bf16";
  // An error in a score is a relative error of its weight.
  const scores = inDtype.product(headDim, scale / Math.sqrt(headDim));
  const inside = inDtype.boundaries(1, scoreRoundings(scale, 1));
  const exact = plus(scores, plus(rounded(8), summed(8)));
  const rowOf = (index: number) => Math.floor(index / (heads * headDim));
  const shareOfOut: Share = (i) => spread(rowOf(i) % sequence, scale);
  const shareOfNormalizer: Share = (i) =>
    i % 2 === 0 ? 1 : spread(Math.floor(i / (2 * heads)) % sequence, scale);
  return operationCase({
    name: attentionName("attention_forward", options),
    operation: "attention_forward",
    symbols: ["remoe_attention_forward"],
    flops: forwardFlops(options),
    bytes: bytes * rows * (used + heads * headDim),
    dtype,
    inputs: (random) => ({ qkv: drawQkv((length) => random.normal(length), options) }),
    outputs: {
      out: output(
        [rows, heads * headDim],
        plus(plus(exact, inside), rounding),
        dtype,
        isBf16 ? shareOfOut : undefined,
      ),
      normalizer: output(
        [rows, heads, 2],
        plus(plus(scores, rounded(8, scale)), inside),
        "f32",
        isBf16 ? shareOfNormalizer : undefined,
      ),
    },
    unwanted: withoutNormalizer ? ["normalizer"] : [],
    call(k, at) {
      const [q, key, value] = starts(sizes, bytes);
      const status = k.symbols.remoe_attention_forward(
        k.handle,
        code,
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
    // The roundings of the largest score are in both numbers of a normalizer, but not in their
    // log-sum-exp, to which every key contributes.
    defined: (outputs) =>
      isBf16 && !withoutNormalizer
        ? { ...outputs, normalizer: logged(outputs.normalizer) }
        : outputs,
    reference: ({ qkv }) => {
      const { out, normalizer } = attention(qkv, sizes);
      return { out, normalizer: isBf16 ? logged(normalizer) : normalizer };
    },
  });
}

/** The largest score and log-sum-exp, from the pairs of a normalizer. */
function logged(normalizer: ArrayLike<number>): number[] {
  return Array.from(
    normalizer,
    (value, i) => i % 2 === 0 ? value : normalizer[i - 1]! + Math.log(value),
  );
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
  const inDtype = activations(options.dtype);
  const { dtype, code, bytes, rounding, store } = inDtype;
  const scores = inDtype.product(headDim, scale / Math.sqrt(headDim));
  // dk and dv sum over the queries of a group; dP has a magnitude of sqrt(headDim).
  const queries = Math.sqrt((sequence * heads) / groups);
  const gradient = inDtype.product(queries * 4 + headDim, scale);
  const { inside, share } = insideGradient(inDtype, options);
  return gradientCase({
    name: attentionName("attention_gradient", options),
    operation: "attention_gradient",
    symbols: ["remoe_attention_gradient"],
    samples,
    flops: 2.5 * forwardFlops(options),
    bytes: bytes * rows * (2 * used + 2 * heads * headDim),
    dtype,
    ...dtype === "f32"
      ? {}
      : { inFp32: () => attentionGradientCase({ ...options, dtype: "f32" }, samples) },
    inputs: (random) => {
      const qkv = drawQkv((length) => random.normal(length), options);
      const { out, normalizer } = attention(doubled(qkv), sizes);
      return {
        qkv,
        dout: store(random.normal(rows * heads * headDim)),
        out: store(Float32Array.from(out)),
        normalizer: Float32Array.from(normalizer),
      };
    },
    outputs: {
      dqkv: output(
        [rows, stride],
        plus(plus(scores, plus(rounded(16), gradient)), plus(inside, rounding)),
        dtype,
        share,
      ),
    },
    gradients: {
      dqkv: { of: "qkv", where: (index) => index % stride < used, elsewhere: "untouched" },
    },
    call(k, at) {
      const [q, key, value] = starts(sizes, bytes);
      const status = k.symbols.remoe_attention_gradient(
        k.handle,
        code,
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

/**
 * The roundings inside the gradient in bfloat16. dS, of size sqrt(headDim) * weight, has those of
 * its weight and its own, and those of dO and of out in dP - <dO, out>: dq sums dS * k over the keys,
 * dk sums dS * q over the queries of a group's heads, and dv sums weight * dO over them. The share of
 * an element is that of its column's sum at its position in the largest, that of dk.
 */
function insideGradient(
  { boundaries, dtype }: Activations,
  options: AttentionOptions,
): { inside: Tolerance; share: Share | undefined } {
  const { stride, sequence, heads, groups, headDim } = sizesOf(options);
  const { scale = 1 } = options;
  const most = mostSpread(scale);
  const perGroup = Math.sqrt(heads / groups);
  const size = Math.max(1, scale);
  const largest = most * perGroup * size;
  const inside = boundaries(largest, scoreRoundings(scale, 5));
  const share: Share = (index) => {
    const [column, position] = [index % stride, Math.floor(index / stride) % sequence];
    if (column < heads * headDim) return spread(position, scale) / largest;
    const keys = perGroup * spread(position, scale, most);
    return (column < (heads + groups) * headDim ? keys * size : keys) / largest;
  };
  return { inside, share: dtype === "f32" ? undefined : share };
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

/** More keys than a block holds, and a number of them that is not a multiple of one. */
const LONG: readonly AttentionOptions[] = [
  { batch: 2, sequence: 256, heads: 4, groups: 2, headDim: 32 },
  { batch: 1, sequence: 131, heads: 3, groups: 1, headDim: 64 },
];

/** Heads that tensor cores take, and sequences that are not multiples of their tiles. */
const TENSOR_CORES: readonly AttentionOptions[] = [
  { batch: 2, sequence: 7, heads: 2, groups: 2, headDim: 64, padding: 8 },
  { batch: 2, sequence: 130, heads: 4, groups: 2, headDim: 64 },
  { batch: 1, sequence: 65, heads: 3, groups: 1, headDim: 128 },
  { batch: 2, sequence: 70, heads: 4, groups: 2, headDim: 96, padding: 16 },
  { batch: 1, sequence: 64, heads: 2, groups: 1, headDim: 64, scale: 30 },
];

/** The largest head that a build need take. */
const LARGEST: AttentionOptions = { batch: 1, sequence: 70, heads: 2, groups: 1, headDim: 256 };

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
  attentionCase(LARGEST),
  ...[...SHAPES, ...LONG, ...TENSOR_CORES].map((shape) =>
    attentionCase({ ...shape, dtype: "bf16" })
  ),
];

/** Cases of its gradient. */
export const ATTENTION_GRADIENT_CASES: readonly GradientCase[] = [
  ...SHAPES.map((shape) => attentionGradientCase(shape)),
  attentionGradientCase({ batch: 1, sequence: 256, heads: 4, groups: 2, headDim: 32 }, 8),
  attentionGradientCase({ batch: 1, sequence: 131, heads: 3, groups: 1, headDim: 64 }, 8),
  attentionGradientCase(LARGEST, 4),
  ...SHAPES.map((shape) => attentionGradientCase({ ...shape, dtype: "bf16" }, 6)),
  ...LONG.map((shape) => attentionGradientCase({ ...shape, batch: 1, dtype: "bf16" }, 2)),
  ...TENSOR_CORES.map((shape) => attentionGradientCase({ ...shape, dtype: "bf16" }, 2)),
];
