/** Rows per expert, from a line of metrics: what shares of several steps are weighted with. @module */

import type { StepMetrics } from "./metrics_line.ts";

/**
 * Counts the rows of each expert in a step. A mean of shares would count a step whose layer is all
 * but closed like any other, and one whose layer is closed as a load of 0.
 *
 * @param line The step's figures.
 * @param pairs Pairs of token and expert in a layer.
 * @returns Rows per layer and expert; where experts are merged, their weights in proportion.
 */
export function expertCounts(
  { expert_load, sparsity_per_layer }: Pick<StepMetrics, "expert_load" | "sparsity_per_layer">,
  pairs: number,
): number[][] {
  return expert_load.map((shares, layer) => {
    // Rounding undoes the divisions by which the line was made.
    const rows = Math.round((1 - sparsity_per_layer[layer]!) * pairs);
    return shares.map((share) => Math.round(share * rows));
  });
}

/**
 * Divides the rows of each layer among its experts.
 *
 * @param counts Rows per layer and expert, of any number of steps.
 * @returns Each expert's share of its layer's rows; 0 in a layer without rows.
 */
export function expertShares(counts: readonly (readonly number[])[]): number[][] {
  return counts.map((rows) => {
    const total = rows.reduce((sum, each) => sum + each, 0);
    return rows.map((each) => total === 0 ? 0 : each / total);
  });
}

/**
 * Adds counts to a sum.
 *
 * @param sum Rows per layer and expert; changed.
 * @param counts More of them.
 */
export function addCounts(sum: number[][], counts: readonly (readonly number[])[]): void {
  for (const [layer, rows] of counts.entries()) {
    const into = sum[layer] ??= rows.map(() => 0);
    for (const [expert, each] of rows.entries()) into[expert]! += each;
  }
}
