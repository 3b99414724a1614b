import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { dot } from "./reference/reduction.ts";
import { activations, type Real } from "./stored.ts";
import { EXACT, summed } from "./tolerance.ts";

/** Sizes of an embedding. */
export interface EmbeddingOptions {
  /** Tokens to look up. */
  readonly count: number;
  /** D. */
  readonly hidden: number;
  /** V. */
  readonly vocabulary: number;
  /** Element type of the rows, fp32 by default. */
  readonly dtype?: Real;
}

/**
 * A case of `remoe_embedding_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function embeddingCase(options: EmbeddingOptions): OperationCase {
  const { count, hidden, vocabulary } = options;
  const { dtype, code, bytes, suffix, store } = activations(options.dtype);
  return operationCase({
    name: `embedding_forward [${count}] of [${vocabulary},${hidden}]${suffix}`,
    operation: "embedding_forward",
    symbols: ["remoe_embedding_forward"],
    flops: 0,
    bytes: count * (2 * bytes * hidden + 4),
    dtype,
    inputs: (random) => ({
      table: store(random.normal(vocabulary * hidden)),
      tokens: random.integers(count, vocabulary),
    }),
    outputs: { y: output([count, hidden], EXACT, dtype) },
    call(k, at) {
      const status = k.symbols.remoe_embedding_forward(
        k.handle,
        code,
        at("y"),
        at("table"),
        at("tokens"),
        count,
        hidden,
        vocabulary,
      );
      k.check(status, "embedding_forward");
    },
    reference: ({ table, tokens }) => ({ y: lookUp(table, tokens, hidden) }),
  });
}

function lookUp(table: Float64Array, tokens: Int32Array, hidden: number): Float64Array {
  const y = new Float64Array(tokens.length * hidden);
  tokens.forEach((token, i) => {
    y.set(table.subarray(token * hidden, (token + 1) * hidden), i * hidden);
  });
  return y;
}

/**
 * A case of `remoe_embedding_gradient`.
 *
 * @param options Sizes; a small vocabulary repeats tokens.
 * @returns The case.
 */
export function embeddingGradientCase(options: EmbeddingOptions): GradientCase {
  const { count, hidden, vocabulary } = options;
  const { dtype, code, bytes, suffix, store } = activations(options.dtype);
  return gradientCase({
    name: `embedding_gradient [${count}] of [${vocabulary},${hidden}]${suffix}`,
    operation: "embedding_gradient",
    symbols: ["remoe_embedding_gradient"],
    flops: count * hidden,
    bytes: count * (bytes * hidden + 4) + 4 * vocabulary * hidden,
    dtype,
    ...dtype === "f32" ? {} : { inFp32: () => embeddingGradientCase({ ...options, dtype: "f32" }) },
    inputs: (random) => ({
      table: random.normal(vocabulary * hidden),
      tokens: random.integers(count, vocabulary),
      dy: store(random.normal(count * hidden)),
    }),
    outputs: { dtable: output([vocabulary, hidden], summed(1 + (4 * count) / vocabulary)) },
    gradients: { dtable: { of: "table", bit: 0 } },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_embedding_gradient(
        k.handle,
        code,
        at("dtable"),
        at("dy"),
        at("tokens"),
        count,
        hidden,
        vocabulary,
        accumulate,
      );
      k.check(status, "embedding_gradient");
    },
    loss: ({ table, tokens, dy }) => dot(dy, lookUp(table, tokens, hidden)),
  });
}

/** Cases of the token embedding. */
export const EMBEDDING_CASES: readonly OperationCase[] = [
  embeddingCase({ count: 1, hidden: 1, vocabulary: 1 }),
  embeddingCase({ count: 37, hidden: 13, vocabulary: 11 }),
  embeddingCase({ count: 512, hidden: 128, vocabulary: 257 }),
  embeddingCase({ count: 1, hidden: 1, vocabulary: 1, dtype: "bf16" }),
  embeddingCase({ count: 37, hidden: 13, vocabulary: 11, dtype: "bf16" }),
  embeddingCase({ count: 512, hidden: 128, vocabulary: 257, dtype: "bf16" }),
];

/** Cases of its gradient. */
export const EMBEDDING_GRADIENT_CASES: readonly GradientCase[] = [
  embeddingGradientCase({ count: 1, hidden: 1, vocabulary: 1 }),
  embeddingGradientCase({ count: 100, hidden: 13, vocabulary: 11 }),
  embeddingGradientCase({ count: 20, hidden: 8, vocabulary: 257 }),
  embeddingGradientCase({ count: 1100, hidden: 8, vocabulary: 300 }),
  embeddingGradientCase({ count: 1100, hidden: 72, vocabulary: 5 }),
  embeddingGradientCase({ count: 1, hidden: 1, vocabulary: 1, dtype: "bf16" }),
  embeddingGradientCase({ count: 100, hidden: 13, vocabulary: 11, dtype: "bf16" }),
  embeddingGradientCase({ count: 20, hidden: 8, vocabulary: 257, dtype: "bf16" }),
  embeddingGradientCase({ count: 1100, hidden: 8, vocabulary: 300, dtype: "bf16" }),
  embeddingGradientCase({ count: 1100, hidden: 72, vocabulary: 5, dtype: "bf16" }),
];
