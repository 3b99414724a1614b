/** Tokens that an expert takes where experts choose. @module */

/** Relative error of a share, at most: three rounded operations on numbers that are rounded. */
const ROUNDING = 4 * Number.EPSILON;

/**
 * Counts the tokens that an expert takes from a group. A product that falls short of a whole number
 * only by rounding is that number: 90 tokens at a share of 1.4 / 2 come to 62.999….
 *
 * @param tokens Tokens of the group.
 * @param share The expert's share of them, at most 1.
 * @returns `tokens · share`, rounded down, but at least 1.
 */
export function expertShare(tokens: number, share: number): number {
  const exact = tokens * share;
  const nearest = Math.round(exact);
  const isWhole = Math.abs(exact - nearest) <= ROUNDING * exact;
  return Math.max(1, isWhole ? nearest : Math.floor(exact));
}
