import type { HeadSizes } from "./cross_entropy.ts";
import { matmul } from "./gemm.ts";
import { normalizer as normalizerOf } from "./reduction.ts";

/**
 * Scores of tokens by an output head.
 *
 * @param x [T, D].
 * @param w [D, V].
 * @param targets [T], negative where not scored.
 * @param sizes The sizes, and the tokens to score.
 * @returns The log-softmax of the targets, and the place and log-softmax of the largest logits; NaN,
 * -1 and NaN where not scored.
 */
export function tokenScores(
  x: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  { tokens, hidden, vocabulary, rows }: HeadSizes & { readonly rows?: readonly number[] },
): { logProbability: Float64Array; greedy: Int32Array; greedyLogProbability: Float64Array } {
  const logits = matmul(x, w, tokens, hidden, vocabulary);
  const logProbability = new Float64Array(tokens).fill(NaN);
  const greedy = new Int32Array(tokens).fill(-1);
  const greedyLogProbability = new Float64Array(tokens).fill(NaN);
  for (const t of rows ?? Array.from({ length: tokens }, (_, t) => t)) {
    const target = targets[t]!;
    if (target < 0) continue;
    const z = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
    const [largest, total] = normalizerOf(z);
    logProbability[t] = z[target]! - largest - Math.log(total);
    greedy[t] = z.indexOf(largest);
    greedyLogProbability[t] = -Math.log(total);
  }
  return { logProbability, greedy, greedyLogProbability };
}
