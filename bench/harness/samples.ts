/** Samples of a case and what they say. @module */

/** Times of one case, in seconds. */
export interface Samples {
  /** How many. */
  readonly count: number;
  /** The middle one; of an even number, the mean of the two in the middle. */
  readonly median: number;
  /** The shortest. */
  readonly min: number;
  /** The longest. */
  readonly max: number;
}

/**
 * Gives the median, which a single late sample does not move.
 *
 * @param values At least one number.
 * @returns The middle one; of an even number, the mean of the two in the middle.
 * @throws {RangeError} If there is none.
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take a median: there are no samples");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Sums samples up.
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
 * Gives the mean of ratios: twice as fast and twice as slow average to 1.
 *
 * @param values At least one positive number.
 * @returns The geometric mean.
 */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
