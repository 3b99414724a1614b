/** Weighted averages of experts' weights. @module */

import { gemm } from "../autograd/matmul.ts";
import type { Real } from "../tensor/dtype.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** The weights of one projection of all experts, `[E, rows, columns]`. */
type Projection<R extends Real> = DeviceTensor<R, readonly [number, number, number]>;

/**
 * θ_n = Σ_e weights[n,e] · θ_e for one projection: a product of `[N, E]` with the experts' weights
 * seen as `[E, rows · columns]`. A node of its own, since reshape() would copy a gradient the size
 * of all experts.
 *
 * @param weights Weights of the experts `[N, E]`.
 * @param experts The experts' projection `[E, rows, columns]`.
 * @param dtype The type of the averages, which are computed in fp32 and rounded once.
 * @returns The merged projections `[N, rows, columns]`.
 */
export function mergeExperts<R extends Real>(
  weights: DeviceTensor<"f32", readonly [number, number]>,
  experts: Projection<"f32">,
  dtype: R,
): Projection<R> {
  const [merged, count] = weights.shape;
  const [, rows, columns] = experts.shape;
  const size = rows * columns;
  const out = weights.memory.allocate(dtype, [merged, rows, columns] as const);
  gemm(out, weights, experts, { m: merged, n: size, k: count, beta: 0 });
  recordNode({
    operation: "mergeExperts",
    inputs: [weights, experts],
    outputs: [out],
    saved: [weights, experts],
    // With C = A B: dA = dC B^T, so dweights[n,e] = <dθ_n, θ_e>, and dB = A^T dC.
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      const dw = gradients.into(weights);
      if (dw) {
        const sizes = { m: merged, n: count, k: size, beta: dw.accumulate };
        gemm(dw.tensor, dy, experts, { transposeB: true, ...sizes });
      }
      const de = gradients.into(experts);
      if (de) {
        const sizes = { m: count, n: size, k: merged, beta: de.accumulate };
        gemm(de.tensor, weights, dy, { transposeA: true, ...sizes });
      }
    },
  });
  return out;
}
