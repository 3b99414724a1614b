/** Statistics of a case's samples. @module */

import { median as middle } from "../../lib/median.ts";

/** A summary of one case's times, in seconds. */
export interface Samples {
  /** Number of samples. */
  readonly count: number;
  /** The middle one; for an even number, the mean of the two in the middle. */
  readonly median: number;
  /** The shortest. */
  readonly min: number;
  /** The longest. */
  readonly max: number;
}

/**
 * Computes the median of samples, of which there must be some.
 *
 * @param values At least one number.
 * @returns The middle one; for an even number, the mean of the two in the middle.
 * @throws {RangeError} If there are no numbers.
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take a median: there are no samples");
  return middle(values);
}

/**
 * Summarizes samples.
 *
 * @param seconds At least one sample.
 * @returns Their number, median and extremes.
 */
export function summarize(seconds: readonly number[]): Samples {
  return {
    count: seconds.length,
    median: median(seconds),
    min: Math.min(...seconds),
    max: Math.max(...seconds),
  };
}

/**
 * Averages ratios: twice as fast and twice as slow average to 1.
 *
 * @param values At least one positive number.
 * @returns The geometric mean.
 */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
