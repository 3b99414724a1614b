/** Lory's layer in float64, straight from its definition. @module */

import { swiglu } from "../../kernels/cases/reference/experts.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { softmax } from "../../kernels/cases/reference/reduction.ts";

/** Sizes of the layer and its input. */
export interface LorySizes {
  readonly sequences: number;
  readonly sequence: number;
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
}

/** The layer's input and weights. */
export interface LoryInputs {
  /** `[T, D]`. */
  readonly x: Float64Array;
  /** `[D, E]`. */
  readonly router: Float64Array;
  /** `[E, D, 2W]`. */
  readonly w1: Float64Array;
  /** `[E, W, D]`. */
  readonly w2: Float64Array;
}

/**
 * The layer's result.
 *
 * @param inputs Input and weights.
 * @param stopped The input as the first segments' routing sees it, through which no gradient flows.
 * @param sizes Sizes.
 * @returns `[T, D]`.
 */
export function lory(inputs: LoryInputs, stopped: Float64Array, sizes: LorySizes): Float64Array {
  const { sequences, sequence, hidden } = sizes;
  const length = Math.min(256, Math.ceil(sequence / 4));
  const y = new Float64Array(inputs.x.length);
  for (let b = 0; b < sequences; b++) {
    for (let start = 0; start < sequence; start += length) {
      const end = Math.min(sequence, start + length);
      const mean = start === 0
        ? meanOf(stopped, b * sequence, b * sequence + end, hidden)
        : meanOf(inputs.x, b * sequence + start - length, b * sequence + start, hidden);
      const [from, to] = [(b * sequence + start) * hidden, (b * sequence + end) * hidden];
      y.set(merged(inputs, mean, inputs.x.subarray(from, to), sizes), from);
    }
  }
  return y;
}

/** The rows `x` through the average of the experts that the row `mean` asks for. */
export function merged(
  { router, w1, w2 }: Omit<LoryInputs, "x">,
  mean: Float64Array,
  x: Float64Array,
  { hidden, width, experts }: Pick<LorySizes, "hidden" | "width" | "experts">,
): Float64Array {
  const weights = softmax(matmul(mean, router, 1, hidden, experts), experts);
  const [up, down] = [w1, w2].map((whole) => {
    const size = whole.length / experts;
    return Float64Array.from(
      { length: size },
      (_, i) => weights.reduce((sum, weight, e) => sum + weight * whole[e * size + i]!, 0),
    );
  }) as [Float64Array, Float64Array];
  const rows = x.length / hidden;
  const h = matmul(x, up, rows, hidden, 2 * width);
  return matmul(swiglu(h, width), down, rows, width, hidden);
}

/** Mean of the rows from `from` to `to`. */
export function meanOf(x: Float64Array, from: number, to: number, hidden: number): Float64Array {
  const mean = new Float64Array(hidden);
  for (let t = from; t < to; t++) {
    for (let d = 0; d < hidden; d++) mean[d]! += x[t * hidden + d]! / (to - from);
  }
  return mean;
}
