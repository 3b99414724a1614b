/**
 * The chart of routing flips: figure 10 of the paper.
 *
 * @module
 */

import {
  type Chart,
  horizontalAxis,
  plane,
  runColours,
  stageLayers,
  stageText,
  titled,
  valueAxis,
} from "./chart.ts";
import { type DrawOptions, scatteredCurves, smoothCurves } from "./curve_layers.ts";
import { endLabels } from "./end_labels.ts";
import type { FlipMetrics } from "../run/metrics_line.ts";
import type { RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

/** Size of each view. */
const SIZE = { height: 190 };

/**
 * Flip rate and flip count of all runs that measured them. The count is the rate times the experts,
 * so the two order runs with different numbers of experts differently.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart; null if no run measured flips.
 */
export function flipChart(runs: readonly RunFigures[], options: DrawOptions): Chart | null {
  const measured = runs.filter(({ flips }) => flips.length > 0);
  if (measured.length === 0) return null;
  const color = runColours(runs, measured);
  const view = (title: string, figure: keyof FlipMetrics & `flip_${"rate" | "count"}`): Spec => {
    const axes = {
      x: horizontalAxis(runs),
      y: valueAxis({ title, labels: { format: "~g" }, scale: { zero: true } }),
      color,
    };
    const curves = measured.map(({ label, flips }) => ({
      name: label,
      points: flips.map((each) => ({ x: each.x, value: each[figure] ?? NaN })),
    }));
    return plane([
      ...stageLayers(runs, color),
      ...scatteredCurves(curves, axes, options),
      ...endLabels(smoothCurves(curves, options), axes, twoDigits, SIZE.height),
    ], SIZE);
  };
  return {
    name: "flips",
    title: "Routing flips",
    spec: {
      ...titled("Routing that a step changes, on fixed held-out tokens", stageText(runs)),
      vconcat: [view("flip rate (equation 14)", "flip_rate"), view("flip count", "flip_count")],
      resolve: { scale: { color: "shared", fill: "shared" } },
    },
  };
}

function twoDigits(value: number): string {
  return value === 0 || value >= 1e-3 ? `${Number(value.toPrecision(2))}` : value.toExponential(1);
}
