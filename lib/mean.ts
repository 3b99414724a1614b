/** The arithmetic mean. @module */

/**
 * Averages numbers.
 *
 * @param values The numbers.
 * @returns Their mean; NaN if there are none.
 */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
