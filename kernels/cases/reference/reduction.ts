import { coordinatesOf, denseStrides, elementsOf, flatIndex } from "./layout.ts";

/** The reductions of the contract, by name. */
export type ReductionName = "sum" | "mean" | "maximum";

/**
 * Reduces some axes of a dense array.
 *
 * @param name The reduction.
 * @param x The elements.
 * @param shape Their shape.
 * @param reduced For each axis, whether it is reduced.
 * @returns The dense result over the kept axes.
 */
export function reduce(
  name: ReductionName,
  x: Float64Array,
  shape: readonly number[],
  reduced: readonly boolean[],
): Float64Array {
  const kept = shape.map((size, axis) => reduced[axis] ? 1 : size);
  const strides = denseStrides(kept).map((stride, axis) => reduced[axis] ? 0 : stride);
  const target = new Float64Array(elementsOf(kept)).fill(name === "maximum" ? -Infinity : 0);
  let i = 0;
  for (const coordinates of coordinatesOf(shape)) {
    const j = flatIndex(coordinates, strides);
    target[j] = name === "maximum" ? Math.max(target[j]!, x[i]!) : target[j]! + x[i]!;
    i++;
  }
  const terms = x.length / target.length;
  return name === "mean" ? target.map((sum) => sum / terms) : target;
}

/**
 * Softmax over the last axis.
 *
 * @param x Logits [rows, columns].
 * @param columns Columns.
 * @returns Probabilities [rows, columns].
 */
export function softmax(x: Float64Array, columns: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += columns) {
    const lse = logSumExp(x.subarray(start, start + columns));
    for (let i = start; i < start + columns; i++) y[i] = Math.exp(x[i]! - lse);
  }
  return y;
}

/**
 * The normalizer of a softmax, without overflow.
 *
 * @param x Logits.
 * @returns The largest, and the sum of exp(x - largest).
 */
export function normalizer(x: Float64Array): [largest: number, sum: number] {
  let largest = -Infinity;
  for (const value of x) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of x) sum += Math.exp(value - largest);
  return [largest, sum];
}

/**
 * The logarithm of a sum of exponentials.
 *
 * @param x Logits.
 * @returns log(sum(exp(x))).
 */
export function logSumExp(x: Float64Array): number {
  const [maximum, sum] = normalizer(x);
  return maximum + Math.log(sum);
}

/**
 * The inner product of two arrays.
 *
 * @param a Numbers.
 * @param b As many numbers.
 * @returns The sum of their products.
 */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
