/** The median. @module */

/**
 * Computes the median, which a few extreme numbers do not move.
 *
 * @param values The numbers, in any order.
 * @returns The middle one, for an even number of them the mean of the two in the middle; NaN if there
 * are none.
 */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half]!;
  return sorted.length === 0 ? NaN : (sorted[half - 1]! + sorted[half]!) / 2;
}
