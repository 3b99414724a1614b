/**
 * Charts of the learning rate, the gradient norm and the speed.
 *
 * @module
 */

import {
  type Chart,
  horizontalAxis,
  plane,
  PREFIXED,
  runColours,
  stageLayers,
  stageText,
  titled,
  valueAxis,
} from "./chart.ts";
import {
  type Curve,
  curveLayer,
  type DrawOptions,
  scatteredCurves,
  smoothCurves,
} from "./curve_layers.ts";
import { endLabels } from "./end_labels.ts";
import type { StepFigure } from "../run/metrics_line.ts";
import type { RunFigures } from "./run_figures.ts";
import { warmScale } from "./warm_scale.ts";

/**
 * Learning rate and gradient norm of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function optimizerChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const x = horizontalAxis(runs);
  const color = runColours(runs);
  const rate = { x, color, y: valueAxis({ title: "learning rate", scale: { zero: true } }) };
  const norms = curves(runs, "grad_norm");
  const scale = warmScale(norms.map(({ points }) => points), runs, options);
  const norm = {
    x,
    color,
    y: valueAxis({ title: "gradient norm", scale: scale ?? { zero: true } }),
  };
  const size = { height: 170 };
  return {
    name: "optimizer",
    title: "Learning rate and gradient",
    spec: {
      ...titled("Learning rate, and gradient norm before clipping", stageText(runs)),
      vconcat: [
        plane([...stageLayers(runs), ...curveLayer(curves(runs, "lr"), rate)], size),
        plane([
          ...stageLayers(runs),
          ...scatteredCurves(norms, norm, options, { clip: true }),
          ...endLabels(smoothCurves(norms, options), norm, threeDigits, size.height),
        ], size),
      ],
      resolve: { scale: { color: "shared", fill: "shared" } },
    },
  };
}

/**
 * Tokens per second of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function speedChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const speeds = curves(runs, "tokens_per_second");
  const axes = {
    x: horizontalAxis(runs),
    y: valueAxis({ title: "tokens/s", labels: PREFIXED, scale: { zero: true } }),
    color: runColours(runs),
  };
  return {
    name: "speed",
    title: "Speed",
    spec: {
      ...titled("Tokens per second", stageText(runs)),
      ...plane([
        ...stageLayers(runs),
        ...scatteredCurves(speeds, axes, options),
        ...endLabels(smoothCurves(speeds, options), axes, threeDigits),
      ]),
    },
  };
}

function curves(runs: readonly RunFigures[], figure: StepFigure): Curve[] {
  return runs.map(({ label, figures }) => ({ name: label, points: figures[figure] }));
}

/** Like `1.23` or `12,300`. */
function threeDigits(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en");
}
