/**
 * Smallest and largest of many numbers: `Math.max(...values)` passes each as an argument, and some
 * 100,000 of them overflow the stack.
 *
 * @module
 */

/**
 * The smallest of some numbers.
 *
 * @param values Any number of them.
 * @returns The smallest; Infinity where there is none, NaN where one is.
 */
export function smallest(values: Iterable<number>): number {
  let least = Infinity;
  for (const value of values) least = Math.min(least, value);
  return least;
}

/**
 * The largest of some numbers.
 *
 * @param values Any number of them.
 * @returns The largest; -Infinity where there is none, NaN where one is.
 */
export function largest(values: Iterable<number>): number {
  let most = -Infinity;
  for (const value of values) most = Math.max(most, value);
  return most;
}
