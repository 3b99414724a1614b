import { matmul } from "./gemm.ts";
import { logSumExp } from "./reduction.ts";

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
 * @returns The mean over the targets that count, how many do, the loss of each token, and lse [T].
 */
export function crossEntropy(
  x: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  { tokens, hidden, vocabulary }: HeadSizes,
): { mean: number; count: number; tokenLoss: Float64Array; lse: Float64Array } {
  const logits = matmul(x, w, tokens, hidden, vocabulary);
  const tokenLoss = new Float64Array(tokens);
  const lse = new Float64Array(tokens);
  let [sum, count] = [0, 0];
  for (let t = 0; t < tokens; t++) {
    lse[t] = logSumExp(logits.subarray(t * vocabulary, (t + 1) * vocabulary));
    const target = targets[t]!;
    if (target < 0) continue;
    tokenLoss[t] = lse[t]! - logits[t * vocabulary + target]!;
    sum += tokenLoss[t]!;
    count++;
  }
  return { mean: count === 0 ? 0 : sum / count, count, tokenLoss, lse };
}
