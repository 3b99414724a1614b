import { AssertionError } from "@std/assert";
import type { Tolerance } from "./tolerance.ts";

/** Tolerances of {@linkcode assertAllClose}, and how it describes the array. */
export interface AllCloseOptions extends Tolerance {
  /** Names the array in the message. */
  readonly name?: string;
  /** Turns a flat index into coordinates. */
  readonly shape?: readonly number[];
  /** An absolute tolerance of each element, on top of `atol`. */
  readonly slackAt?: (index: number) => number;
}

/**
 * Asserts that two arrays agree element by element. Equal infinities agree, and NaN agrees only
 * with NaN.
 *
 * @param actual The kernel's result.
 * @param expected The expected values.
 * @param options Tolerances, and what the message needs.
 * @throws {AssertionError} With the worst element, if the two disagree.
 */
export function assertAllClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: AllCloseOptions,
): void {
  const name = options.name ?? "array";
  if (actual.length !== expected.length) {
    throw new AssertionError(
      `${name}: ${actual.length} elements, expected ${expected.length}`,
    );
  }
  const { rtol, atol, slackAt, shape = [expected.length] } = options;
  const atolAt = (index: number) => slackAt === undefined ? atol : atol + slackAt(index);
  let worst = -1;
  let worstExcess = 1;
  let misses = 0;
  for (let i = 0; i < expected.length; i++) {
    // Most elements of a second run are equal, and need no tolerance.
    if (actual[i] === expected[i]) continue;
    const excess = excessOf(actual[i]!, expected[i]!, rtol, atolAt(i));
    if (excess <= 1) continue;
    misses++;
    if (excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (misses === 0) return;
  throw new AssertionError(
    `${name} [${shape.join(", ")}]: ${misses} of ${expected.length} elements are off; the worst, ` +
      `at [${coordinates(worst, shape).join(", ")}], is ${actual[worst]}, expected ` +
      `${expected[worst]}: ${worstExcess.toPrecision(3)} times the tolerance ` +
      `(rtol ${rtol.toExponential(2)}, atol ${atolAt(worst).toExponential(2)})`,
  );
}

/** The error relative to the tolerance; Infinity if no tolerance could admit it. */
function excessOf(actual: number, expected: number, rtol: number, atol: number): number {
  if (!Number.isFinite(actual) || !Number.isFinite(expected)) {
    return Number.isNaN(actual) && Number.isNaN(expected) ? 0 : Infinity;
  }
  return Math.abs(actual - expected) / (atol + rtol * Math.abs(expected));
}

/** The coordinates of a flat index in a dense, row-major array. */
function coordinates(index: number, shape: readonly number[]): number[] {
  const result: number[] = [];
  for (const size of shape.toReversed()) {
    result.unshift(index % size);
    index = Math.floor(index / size);
  }
  return result;
}
