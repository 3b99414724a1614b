import { matmul } from "./gemm.ts";
import { normalizer as normalizerOf } from "./reduction.ts";

/** Sizes of an output head. */
export interface HeadSizes {
  /** T. */
  readonly tokens: number;
  /** D. */
  readonly hidden: number;
  /** V. */
  readonly vocabulary: number;
}

/**
 * Cross entropy of an output head.
 *
 * @param x [T, D].
 * @param w [D, V].
 * @param targets [T], negative where ignored.
 * @param sizes The sizes.
 * @returns The mean over the targets that are not ignored, their number, the loss of each token,
 * and the {@linkcode normalizerOf normalizer} of each token's logits, [T, 2].
 */
export function crossEntropy(
  x: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  { tokens, hidden, vocabulary }: HeadSizes,
): { mean: number; count: number; tokenLoss: Float64Array; normalizer: Float64Array } {
  const logits = matmul(x, w, tokens, hidden, vocabulary);
  const tokenLoss = new Float64Array(tokens);
  const normalizer = new Float64Array(2 * tokens);
  let [sum, count] = [0, 0];
  for (let t = 0; t < tokens; t++) {
    const [largest, total] = normalizerOf(logits.subarray(t * vocabulary, (t + 1) * vocabulary));
    normalizer.set([largest, total], 2 * t);
    const target = targets[t]!;
    if (target < 0) continue;
    tokenLoss[t] = Math.log(total) + (largest - logits[t * vocabulary + target]!);
    sum += tokenLoss[t]!;
    count++;
  }
  return { mean: count === 0 ? 0 : sum / count, count, tokenLoss, normalizer };
}

/**
 * The gradient of the mean of {@linkcode crossEntropy}.
 *
 * @param x [T, D].
 * @param w [D, V].
 * @param targets [T], negative where ignored.
 * @param sizes The sizes.
 * @param dloss The gradient of the mean.
 * @returns The gradients of the logits [T, V], x and w.
 */
export function crossEntropyGradient(
  x: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  sizes: HeadSizes,
  dloss: number,
): { dlogits: Float64Array; dx: Float64Array; dw: Float64Array } {
  const { tokens, hidden, vocabulary } = sizes;
  const { count, normalizer } = crossEntropy(x, w, targets, sizes);
  const dlogits = matmul(x, w, tokens, hidden, vocabulary).map((logit, i) => {
    const t = Math.floor(i / vocabulary);
    if (targets[t]! < 0) return 0;
    const oneHot = i % vocabulary === targets[t] ? 1 : 0;
    return (Math.exp(logit - normalizer[2 * t]!) / normalizer[2 * t + 1]! - oneHot) * dloss / count;
  });
  const dx = matmul(dlogits, transposed(w, hidden, vocabulary), tokens, vocabulary, hidden);
  const dw = matmul(transposed(x, tokens, hidden), dlogits, hidden, tokens, vocabulary);
  return { dlogits, dx, dw };
}

function transposed(matrix: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
