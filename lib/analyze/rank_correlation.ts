/** Spearman's rank correlation. @module */

/**
 * Correlates the ranks of two lists; equal values share their mean rank.
 *
 * @param first Numbers.
 * @param second As many numbers, in the same order.
 * @returns From -1 to 1; null for fewer than three pairs, or if all values of a list are equal.
 */
export function rankCorrelation(
  first: readonly number[],
  second: readonly number[],
): number | null {
  if (first.length < 3) return null;
  const [a, b] = [ranksOf(first), ranksOf(second)];
  // Ranks average (n + 1) / 2 whatever the ties.
  const middle = (first.length + 1) / 2;
  let [both, ofA, ofB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - middle, b[i]! - middle];
    both += x * y;
    ofA += x * x;
    ofB += y * y;
  }
  return ofA === 0 || ofB === 0 ? null : both / Math.sqrt(ofA * ofB);
}

function ranksOf(values: readonly number[]): Float64Array {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const ranks = new Float64Array(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let at = start; at < end; at++) ranks[order[at]!] = (start + 1 + end) / 2;
  }
  return ranks;
}
