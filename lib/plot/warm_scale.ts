/**
 * Vertical scales that leave out the warm-up, beside which all that follows would look flat.
 *
 * @module
 */

import type { DrawOptions } from "./curve_layers.ts";
import type { Point, RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

/** Share of a curve that counts as its initial drop, however short the warm-up. */
const BEGINNING = 0.02;

/**
 * Fits a vertical scale to what follows the warm-up.
 *
 * @param curves The points of each run.
 * @param runs The runs, in the order of the curves.
 * @param options Whether to cover the warm-up all the same.
 * @returns The scale; null if it is to cover the warm-up, nothing follows, or nothing is left out.
 */
export function warmScale(
  curves: readonly (readonly Point[])[],
  runs: readonly RunFigures[],
  { whole = false }: Pick<DrawOptions, "whole">,
): Spec | null {
  if (whole) return null;
  let [low, high, highest] = [Infinity, -Infinity, -Infinity];
  for (const [index, points] of curves.entries()) {
    const { figures, warm } = runs[index]!;
    const [first, last] = [figures.loss[0]!.x, figures.loss.at(-1)!.x];
    const end = Math.max(warm, first + BEGINNING * (last - first));
    for (const { x, value } of points) {
      if (!Number.isFinite(value)) continue;
      highest = Math.max(highest, value);
      if (x < end) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return high > low && highest > high ? { domain: [low, high], nice: true } : null;
}
