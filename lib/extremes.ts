/**
 * Minimum and maximum of many numbers. `Math.max(...values)` passes each one as an argument, and
 * about 100,000 of them overflow the stack.
 *
 * @module
 */

/**
 * Finds the minimum.
 *
 * @param values Any number of numbers.
 * @returns The smallest; Infinity if there are none, NaN if any is NaN.
 */
export function smallest(values: Iterable<number>): number {
  let least = Infinity;
  for (const value of values) least = Math.min(least, value);
  return least;
}

/**
 * Finds the maximum.
 *
 * @param values Any number of numbers.
 * @returns The largest; -Infinity if there are none, NaN if any is NaN.
 */
export function largest(values: Iterable<number>): number {
  let most = -Infinity;
  for (const value of values) most = Math.max(most, value);
  return most;
}
