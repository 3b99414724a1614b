import { DTypeCode } from "../../lib/ffi/mod.ts";
import {
  type GradientCase,
  gradientCase,
  type OperationCase,
  operationCase,
  output,
} from "./case.ts";
import { dot } from "./reference/reduction.ts";
import { EXACT, summed } from "./tolerance.ts";

/** Sizes of an embedding. */
export interface EmbeddingOptions {
  /** Tokens to look up. */
  readonly count: number;
  /** D. */
  readonly hidden: number;
  /** V. */
  readonly vocabulary: number;
}

/**
 * A case of `remoe_embedding_forward`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function embeddingCase({ count, hidden, vocabulary }: EmbeddingOptions): OperationCase {
  return operationCase({
    name: `embedding_forward [${count}] of [${vocabulary},${hidden}]`,
    operation: "embedding_forward",
    symbols: ["remoe_embedding_forward"],
    flops: 0,
    bytes: 4 * count * (2 * hidden + 1),
    inputs: (random) => ({
      table: random.normal(vocabulary * hidden),
      tokens: random.integers(count, vocabulary),
    }),
    outputs: { y: output([count, hidden], EXACT) },
    call(k, at) {
      const status = k.symbols.remoe_embedding_forward(
        k.handle,
        DTypeCode.f32,
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
  return gradientCase({
    name: `embedding_gradient [${count}] of [${vocabulary},${hidden}]`,
    operation: "embedding_gradient",
    symbols: ["remoe_embedding_gradient"],
    flops: count * hidden,
    bytes: 4 * (count * (hidden + 1) + vocabulary * hidden),
    inputs: (random) => ({
      table: random.normal(vocabulary * hidden),
      tokens: random.integers(count, vocabulary),
      dy: random.normal(count * hidden),
    }),
    outputs: { dtable: output([vocabulary, hidden], summed(1 + (4 * count) / vocabulary)) },
    gradients: { dtable: { of: "table", bit: 0 } },
    call(k, at, accumulate) {
      const status = k.symbols.remoe_embedding_gradient(
        k.handle,
        DTypeCode.f32,
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
];

/** Cases of its gradient. */
export const EMBEDDING_GRADIENT_CASES: readonly GradientCase[] = [
  embeddingGradientCase({ count: 1, hidden: 1, vocabulary: 1 }),
  embeddingGradientCase({ count: 100, hidden: 13, vocabulary: 11 }),
  embeddingGradientCase({ count: 20, hidden: 8, vocabulary: 257 }),
];
