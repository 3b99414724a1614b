import type { KernelContext } from "../../lib/ffi/mod.ts";
import {
  doubled,
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
  type Share,
} from "./case.ts";
import {
  crossEntropyName,
  type CrossEntropyOptions,
  DLOSS,
  drawHead,
  insideGradient,
  keptLogits,
  perTargetOf,
} from "./cross_entropy_head.ts";
import { crossEntropy, crossEntropyGradient } from "./reference/cross_entropy.ts";
import { matmul } from "./reference/gemm.ts";
import { activations } from "./stored.ts";
import { plus, rounded } from "./tolerance.ts";

export type { CrossEntropyOptions } from "./cross_entropy_head.ts";

interface ForwardAddresses {
  (
    name: "loss" | "token_loss" | "normalizer" | "logits" | "x" | "w" | "targets",
  ): bigint;
}

function callForward(k: KernelContext, at: ForwardAddresses, options: CrossEntropyOptions): void {
  const { tokens, hidden, vocabulary, logitStride } = options;
  const status = k.symbols.remoe_cross_entropy_forward(
    k.handle,
    activations(options.dtype).code,
    at("loss"),
    at("token_loss"),
    at("normalizer"),
    logitStride === undefined ? 0n : at("logits"),
    at("x"),
    at("w"),
    at("targets"),
    tokens,
    hidden,
    vocabulary,
    logitStride ?? 0,
  );
  k.check(status, "cross_entropy_forward");
}

/**
 * A case of `remoe_cross_entropy_forward`.
 *
 * @param options Sizes and targets.
 * @returns The case.
 */
export function crossEntropyCase(options: CrossEntropyOptions): OperationCase {
  const { tokens, hidden, vocabulary, scale = 1, withoutTokenLoss = false } = options;
  const stride = options.logitStride ?? 0;
  const { dtype, bytes, rounding, product } = activations(options.dtype);
  const logits = product(hidden, scale / Math.sqrt(hidden));
  const perToken = plus(logits, rounded(6, scale));
  return operationCase({
    name: crossEntropyName("cross_entropy_forward", options),
    operation: "cross_entropy_forward",
    symbols: ["remoe_cross_entropy_forward"],
    flops: 2 * tokens * hidden * vocabulary,
    bytes: bytes * (tokens * hidden + hidden * vocabulary) + 16 * tokens,
    dtype,
    inputs: (random) => drawHead(random, options),
    outputs: {
      loss: output([2], perToken),
      token_loss: output([tokens], perToken),
      normalizer: output([tokens, 2], perToken),
      logits: output([tokens, Math.max(1, stride)], plus(logits, rounding), dtype),
    },
    unwanted: [
      ...withoutTokenLoss ? ["token_loss"] as const : [],
      ...stride === 0 ? ["logits"] as const : [],
    ],
    call: (k, at) => callForward(k, at, options),
    // The gaps between rows are not written.
    defined: (outputs) => ({
      ...outputs,
      ...stride === 0
        ? {}
        : { logits: Array.from(outputs.logits).filter((_, i) => i % stride < vocabulary) },
    }),
    reference: ({ x, w, targets }) => {
      const { mean, count, tokenLoss, normalizer } = crossEntropy(x, w, targets, options);
      const kept = stride === 0 ? [] : matmul(x, w, tokens, hidden, vocabulary);
      return { loss: [mean, count], token_loss: tokenLoss, normalizer, logits: kept };
    },
  });
}

interface GradientAddresses {
  (name: "dx" | "dw" | "dloss" | "loss" | "normalizer" | "x" | "w" | "targets"): bigint;
}

function callGradient(
  k: KernelContext,
  at: GradientAddresses,
  { tokens, hidden, vocabulary, logitStride = 0, dtype }: CrossEntropyOptions,
  { logits = 0n, accumulate = 0 },
): void {
  const status = k.symbols.remoe_cross_entropy_gradient(
    k.handle,
    activations(dtype).code,
    at("dx"),
    at("dw"),
    at("dloss"),
    at("loss"),
    at("normalizer"),
    logits,
    at("x"),
    at("w"),
    at("targets"),
    tokens,
    hidden,
    vocabulary,
    logitStride,
    accumulate,
  );
  k.check(status, "cross_entropy_gradient");
}

/**
 * A case of `remoe_cross_entropy_gradient` that recomputes the logits.
 *
 * @param options Sizes and targets.
 * @param samples Elements of each input to differentiate individually.
 * @returns The case.
 */
export function crossEntropyGradientCase(options: CrossEntropyOptions, samples = 12): GradientCase {
  const { tokens, hidden, vocabulary, scale = 1 } = options;
  const { dtype, bytes, rounding, product } = activations(options.dtype);
  const logits = product(hidden, scale / Math.sqrt(hidden)).atol;
  const perTarget = perTargetOf(options);
  const inside = insideGradient(options, 1);
  // (p - 1) carries the error of its logits; dx sums it over the vocabulary, dw over the tokens.
  const p = { rtol: 2 * logits + rounded(12).rtol, atol: 4 * perTarget * logits };
  return gradientCase({
    name: crossEntropyName("cross_entropy_gradient", options),
    operation: "cross_entropy_gradient",
    symbols: ["remoe_cross_entropy_gradient"],
    samples,
    flops: 6 * tokens * hidden * vocabulary,
    bytes: 2 * bytes * (tokens * hidden + hidden * vocabulary),
    dtype,
    ...dtype === "f32"
      ? {}
      : { inFp32: () => crossEntropyGradientCase({ ...options, dtype: "f32" }, samples) },
    inputs: (random) => {
      const head = drawHead(random, options);
      const { mean, count, normalizer } = crossEntropy(
        doubled(head.x),
        doubled(head.w),
        head.targets,
        options,
      );
      return {
        ...head,
        dloss: Float32Array.of(DLOSS),
        loss: Float32Array.of(mean, count),
        normalizer: Float32Array.from(normalizer),
      };
    },
    outputs: {
      dx: output(
        [tokens, hidden],
        plus(
          plus(p, product(4, (perTarget * scale) / Math.sqrt(hidden))),
          plus(inside.dx, rounding),
        ),
        dtype,
      ),
      dw: output(
        [hidden, vocabulary],
        plus(plus(p, product(Math.sqrt(tokens) + 4, perTarget)), inside.dw),
      ),
    },
    gradients: {
      dx: { of: "x", bit: 0, optional: true },
      dw: { of: "w", bit: 1, optional: true },
    },
    call: (k, at, accumulate) => callGradient(k, at, options, { accumulate }),
    loss: ({ x, w, targets }) => DLOSS * crossEntropy(x, w, targets, options).mean,
  });
}

/**
 * The relative error of p where logits are kept in bfloat16. Those of order 1 are below 8, where half
 * an ulp is at most 2^-6. At the target, where the gradient is p - 1, it is an absolute error.
 */
const OF_P = Math.expm1(2 ** -6);

/**
 * A case of `remoe_cross_entropy_gradient` checked against the gradient's formula, using the logits
 * kept by a forward pass if there is a `logitStride`.
 *
 * @param options Sizes and targets.
 * @returns The case.
 */
export function crossEntropyKeptCase(options: CrossEntropyOptions): OperationCase {
  const { tokens, hidden, vocabulary, offset = 0, logitStride: stride = 0 } = options;
  const { dtype, bytes, rounding, product, store } = activations(options.dtype);
  const perTarget = perTargetOf(options);
  // Logits are of order 1, or integers, and exact to half an ulp.
  const p = { rtol: rounded(20).rtol, atol: 1e-6 * perTarget };
  const isCoarse = stride > 0 && dtype === "bf16";
  const inside = insideGradient(options, isCoarse ? 2 : 1);
  const dz = isCoarse ? { rtol: OF_P, atol: OF_P * perTarget } : p;
  const shareOfTarget: Share = (i, { targets }) =>
    i % vocabulary === targets![Math.floor(i / vocabulary)] ? 1 : p.atol / dz.atol;
  const weights = Math.max(1, Math.abs(offset));
  return operationCase({
    name: crossEntropyName("cross_entropy_gradient", options),
    operation: "cross_entropy_gradient",
    symbols: ["remoe_cross_entropy_gradient"],
    flops: 4 * tokens * hidden * vocabulary,
    bytes: 2 * bytes * (tokens * hidden + hidden * vocabulary + tokens * vocabulary),
    dtype,
    inputs: (random) => {
      const head = drawHead(random, options);
      const [x, w] = [doubled(head.x), doubled(head.w)];
      const { mean, count, normalizer } = crossEntropy(x, w, head.targets, options);
      return {
        ...head,
        dloss: Float32Array.of(DLOSS),
        loss: Float32Array.of(mean, count),
        normalizer: Float32Array.from(normalizer),
        ...stride === 0 ? {} : { logits: store(keptLogits(x, w, options, stride)) },
      };
    },
    outputs: {
      logits: output(
        [tokens, Math.max(1, stride)],
        plus(dz, rounding),
        dtype,
        isCoarse ? shareOfTarget : undefined,
      ),
      dx: output(
        [tokens, hidden],
        plus(
          plus(p, product(Math.sqrt(vocabulary), weights * perTarget)),
          plus(inside.dx, rounding),
        ),
        dtype,
      ),
      dw: output(
        [hidden, vocabulary],
        plus(plus(p, product(Math.sqrt(tokens) + 4, perTarget)), inside.dw),
      ),
    },
    unwanted: stride === 0 ? ["logits"] : [],
    call: (k, at) => callGradient(k, at, options, { logits: at("logits") }),
    defined: ({ logits, ...others }) => ({
      ...others,
      logits: stride === 0 ? [] : Array.from(logits).filter((_, i) => i % stride < vocabulary),
    }),
    reference: ({ x, w, targets }) => {
      const { dlogits, dx, dw } = crossEntropyGradient(x, w, targets, options, DLOSS);
      return { logits: stride === 0 ? [] : dlogits, dx, dw };
    },
  });
}

const HEADS: readonly CrossEntropyOptions[] = [
  { tokens: 1, hidden: 1, vocabulary: 1 },
  { tokens: 3, hidden: 5, vocabulary: 7 },
  { tokens: 65, hidden: 32, vocabulary: 257, ignored: 0.25 },
  { tokens: 150, hidden: 9, vocabulary: 5000 },
  { tokens: 33, hidden: 16, vocabulary: 100, scale: 40 },
  { tokens: 9, hidden: 6, vocabulary: 30, ignored: 1 },
];

const KEPT_HEADS = [
  { tokens: 3, hidden: 5, vocabulary: 7, logitStride: 7 },
  { tokens: 70, hidden: 24, vocabulary: 257, ignored: 0.25, logitStride: 260 },
  { tokens: 130, hidden: 9, vocabulary: 5000, logitStride: 5000 },
] as const;

/** Sizes that tensor cores take in bf16, ragged in rows, depth and columns. */
const ALIGNED_HEADS = [
  { tokens: 70, hidden: 24, vocabulary: 264, ignored: 0.25 },
  { tokens: 150, hidden: 72, vocabulary: 776 },
] as const;

/** A single fp32 number could not hold their log-sum-exp. */
const LARGE_HEADS: readonly CrossEntropyOptions[] = [
  { tokens: 3, hidden: 2, vocabulary: 2, offset: 1.6e7 },
  { tokens: 7, hidden: 2, vocabulary: 300, offset: 1.6e7 },
  { tokens: 7, hidden: 2, vocabulary: 300, offset: -1.6e7 },
  { tokens: 3, hidden: 2, vocabulary: 50, offset: 3e38 },
];

/** Cases of cross entropy fused with the output head. */
export const CROSS_ENTROPY_CASES: readonly OperationCase[] = [
  ...HEADS.map(crossEntropyCase),
  ...KEPT_HEADS.map(crossEntropyCase),
  ...KEPT_HEADS.map(crossEntropyKeptCase),
  ...LARGE_HEADS.flatMap((head) => [
    crossEntropyCase(head),
    crossEntropyKeptCase(head),
    crossEntropyKeptCase({ ...head, logitStride: head.vocabulary }),
  ]),
  crossEntropyCase({ tokens: 256, hidden: 128, vocabulary: 257, withoutTokenLoss: true }),
  ...[...HEADS, ...KEPT_HEADS, ...LARGE_HEADS].map((head) =>
    crossEntropyCase({ ...head, dtype: "bf16" })
  ),
  // Large logits differ by less than their roundings, so those are not kept.
  ...[...KEPT_HEADS, ...LARGE_HEADS].map((head) =>
    crossEntropyKeptCase({ ...head, dtype: "bf16" })
  ),
  crossEntropyCase({ tokens: 256, hidden: 128, vocabulary: 257, dtype: "bf16" }),
  ...ALIGNED_HEADS.flatMap((head) => [
    crossEntropyCase({ ...head, dtype: "bf16" }),
    crossEntropyCase({ ...head, logitStride: head.vocabulary + 8, dtype: "bf16" }),
    crossEntropyKeptCase({ ...head, dtype: "bf16" }),
    crossEntropyKeptCase({ ...head, logitStride: head.vocabulary + 8, dtype: "bf16" }),
  ]),
];

/** Cases of its gradient. */
export const CROSS_ENTROPY_GRADIENT_CASES: readonly GradientCase[] = [
  ...HEADS.map((head) => crossEntropyGradientCase(head, head.vocabulary > 1000 ? 4 : 12)),
  crossEntropyGradientCase({ tokens: 128, hidden: 128, vocabulary: 257, ignored: 0.1 }, 4),
  ...HEADS.map((head) =>
    crossEntropyGradientCase({ ...head, dtype: "bf16" }, head.vocabulary > 1000 ? 1 : 4)
  ),
  crossEntropyGradientCase(
    { tokens: 128, hidden: 128, vocabulary: 257, ignored: 0.1, dtype: "bf16" },
    1,
  ),
];
