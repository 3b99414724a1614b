/**
 * Vertical scales without the warm-up: beside it all that follows would be a flat line.
 *
 * @module
 */

import type { Point, RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

/** The share of a curve in which it falls from where it began, whatever the warm-up. */
const BEGINNING = 0.02;

/**
 * The scale that what follows the warm-up asks for.
 *
 * @param curves A run's points each.
 * @param runs The runs, in the order of the curves.
 * @returns The scale; null where nothing follows, or nothing is left out.
 */
export function warmScale(
  curves: readonly (readonly Point[])[],
  runs: readonly RunFigures[],
): Spec | null {
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
