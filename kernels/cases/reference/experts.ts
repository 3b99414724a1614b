import { sigmoid } from "./elementwise.ts";

/** Sizes of a layer of experts. */
export interface ExpertSizes {
  /** T. */
  readonly tokens: number;
  /** D. */
  readonly hidden: number;
  /** W, the width of one expert. */
  readonly width: number;
  /** E. */
  readonly experts: number;
}

/**
 * SwiGLU of each row.
 *
 * @param h Pre-activations [rows, 2 W], gate | up.
 * @param width W.
 * @returns silu(gate) * up, [rows, W].
 */
export function swiglu(h: Float64Array, width: number): Float64Array {
  const a = new Float64Array(h.length / 2);
  for (let i = 0; i < a.length; i++) {
    const row = Math.floor(i / width) * 2 * width;
    const gate = h[row + (i % width)]!;
    a[i] = gate * sigmoid(gate) * h[row + width + (i % width)]!;
  }
  return a;
}

/**
 * Pre-activations of one token in one expert.
 *
 * @param x [T, D].
 * @param w1 [E, D, 2 W].
 * @param token The token.
 * @param expert The expert.
 * @param sizes The layer's sizes.
 * @returns x_t W1_e, [2 W].
 */
export function preActivations(
  x: Float64Array,
  w1: Float64Array,
  token: number,
  expert: number,
  { hidden, width }: ExpertSizes,
): Float64Array {
  const h = new Float64Array(2 * width);
  for (let d = 0; d < hidden; d++) {
    const factor = x[token * hidden + d]!;
    const row = (expert * hidden + d) * 2 * width;
    for (let j = 0; j < 2 * width; j++) h[j] = h[j]! + factor * w1[row + j]!;
  }
  return h;
}

/**
 * Equation 1 as a dense, masked sum: no plan, no rows, every expert an ordinary feed-forward
 * network.
 *
 * @param x [T, D].
 * @param w1 [E, D, 2 W], gate | up.
 * @param w2 [E, W, D].
 * @param gates [T, E], 0 where a token is not routed.
 * @param sizes The layer's sizes.
 * @returns y_t = sum_e gates[t,e] FFN_e(x_t), [T, D].
 */
export function experts(
  x: Float64Array,
  w1: Float64Array,
  w2: Float64Array,
  gates: Float64Array,
  sizes: ExpertSizes,
): Float64Array {
  const { tokens, hidden, width } = sizes;
  const y = new Float64Array(tokens * hidden);
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < sizes.experts; e++) {
      const gate = gates[t * sizes.experts + e]!;
      if (gate === 0) continue;
      const a = swiglu(preActivations(x, w1, t, e, sizes), width);
      for (let j = 0; j < width; j++) {
        const factor = gate * a[j]!;
        const row = (e * width + j) * hidden;
        for (let d = 0; d < hidden; d++) {
          y[t * hidden + d] = y[t * hidden + d]! + factor * w2[row + d]!;
        }
      }
    }
  }
  return y;
}
