/**
 * What drives training and how fast it goes: learning rate, gradient, tokens a second.
 *
 * @module
 */

import {
  type Chart,
  type Curve,
  curveColours,
  curveLayer,
  type DrawOptions,
  plane,
  PREFIXED,
  scatteredCurves,
  stageLayers,
  stageText,
  stepAxis,
  stepDomain,
  titled,
  valueAxis,
} from "./chart.ts";
import type { Figure, RunFigures } from "./run_figures.ts";

/**
 * Learning rate and norm of the gradient of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function optimizerChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const domain = stepDomain(runs);
  const x = stepAxis(domain);
  const color = curveColours(runs.map(({ label }) => label));
  const rate = { x, color, y: valueAxis({ title: "learning rate", scale: { zero: true } }) };
  const norm = { x, color, y: valueAxis({ title: "gradient norm", scale: { zero: true } }) };
  const size = { height: 170 };
  return {
    name: "optimizer",
    title: "Learning rate and gradient",
    spec: {
      ...titled("Learning rate, and norm of the gradient before clipping", stageText(runs)),
      vconcat: [
        plane([...stageLayers(runs, domain), ...curveLayer(curves(runs, "lr"), rate)], size),
        plane([
          ...stageLayers(runs, domain),
          ...scatteredCurves(curves(runs, "grad_norm"), norm, options),
        ], size),
      ],
      resolve: { scale: { color: "shared", fill: "shared" } },
    },
  };
}

/**
 * Tokens a second of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function speedChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const domain = stepDomain(runs);
  const axes = {
    x: stepAxis(domain),
    y: valueAxis({ title: "tokens/s", labels: PREFIXED, scale: { zero: true } }),
    color: curveColours(runs.map(({ label }) => label)),
  };
  return {
    name: "speed",
    title: "Speed",
    spec: {
      ...titled("Tokens a second", stageText(runs)),
      ...plane([
        ...stageLayers(runs, domain),
        ...scatteredCurves(curves(runs, "tokens_per_second"), axes, options),
      ]),
    },
  };
}

function curves(runs: readonly RunFigures[], figure: Figure): Curve[] {
  return runs.map(({ label, figures }) => ({ name: label, points: figures[figure] }));
}
