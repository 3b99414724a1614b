/**
 * The L1 term beside the language model's loss, and the tokens that it leaves without an expert.
 *
 * @module
 */

import { routerOf } from "../moe/router_of.ts";
import {
  type Chart,
  curveColours,
  horizontalAxis,
  plane,
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
import type { Point, RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

/** Height of a plane where a chart has two. */
const SIZE = { height: 200 };
const LOG = { type: "log", nice: false };
const POWERS: Spec = { labelExpr: "replace(format(datum.value, '.0e'), '+', '')" };

/** What the dashed curves are, and the solid ones. */
const [LOSS, TERM] = ["language-model loss", "λ·L_reg"];

/**
 * L_reg of equation 9 or 10, and below it λ·L_reg beside the language model's loss: the paper's
 * figures 4b and 4c.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart; null where no run has an adaptive L1 term.
 */
export function regularizationChart(
  runs: readonly RunFigures[],
  options: DrawOptions,
): Chart | null {
  const adaptive = runs.filter(({ config: { moe } }) => routerOf(moe).adapts(moe));
  if (adaptive.length === 0) return null;
  const several = runs.length > 1;
  return {
    name: "regularization",
    title: "Regularisation",
    spec: {
      ...titled(
        "L_reg, and λ·L_reg beside the language model's loss",
        stageText(runs),
        several ? "below, dashed: the loss; solid: λ·L_reg" : undefined,
      ),
      vconcat: [termPlane(runs, adaptive, options), lossPlane(runs, adaptive, options)],
      // One run's planes name different things.
      resolve: { scale: { color: several ? "shared" : "independent", fill: "shared" } },
    },
  };
}

function termPlane(
  runs: readonly RunFigures[],
  adaptive: readonly RunFigures[],
  options: DrawOptions,
): Spec {
  const color = runColours(runs, adaptive);
  const axes = {
    x: horizontalAxis(runs),
    y: valueAxis({ title: "L_reg (logarithmic)", labels: POWERS, scale: LOG }),
    color,
  };
  const curves = adaptive.map((run) => ({ name: run.label, points: positive(run.figures.l1_reg) }));
  return plane([
    ...stageLayers(runs, color),
    ...scatteredCurves(curves, axes, options),
    ...endLabels(smoothCurves(curves, options), axes, twoDigits, SIZE.height),
  ], SIZE);
}

function lossPlane(
  runs: readonly RunFigures[],
  adaptive: readonly RunFigures[],
  options: DrawOptions,
): Spec {
  const several = runs.length > 1;
  const color = several ? runColours(runs, adaptive) : curveColours([LOSS, TERM]);
  const axes = {
    x: horizontalAxis(runs),
    y: valueAxis({ title: "nats per token (logarithmic)", labels: POWERS, scale: LOG }),
    color,
  };
  const named = (name: string, points: (run: RunFigures) => readonly Point[]): Curve[] =>
    smoothCurves(
      adaptive.map((run) => ({ name: several ? run.label : name, points: positive(points(run)) })),
      options,
    );
  const losses = named(LOSS, ({ figures }) => figures.loss);
  const terms = named(TERM, weighed);
  return plane([
    ...stageLayers(runs, color),
    ...curveLayer(losses, axes, several ? { strokeDash: [5, 3], strokeWidth: 1.5 } : {}),
    ...curveLayer(terms, axes),
    ...endLabels([...losses, ...terms], axes, twoDigits, SIZE.height),
  ], SIZE);
}

/**
 * The share of pairs of a token and a layer that no expert of the layer takes, of all runs whose
 * router may leave a token without one.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart; null where no run may.
 */
export function withoutExpertChart(
  runs: readonly RunFigures[],
  options: DrawOptions,
): Chart | null {
  const open = runs.filter(({ config: { moe } }) => !routerOf(moe).exact);
  if (open.length === 0) return null;
  const color = runColours(runs, open);
  const axes = {
    x: horizontalAxis(runs),
    y: valueAxis({ title: "share of tokens", labels: { format: ".1%" }, scale: { zero: true } }),
    color,
  };
  const curves = open.map(({ label, config, figures }) => {
    const pairs = config.data.batch * config.data.sequence * config.model.layers;
    const points = figures.tokens_without_expert
      .map(({ x, value }): Point => ({ x, value: value / pairs }));
    return { name: label, points };
  });
  return {
    name: "without_expert",
    title: "Tokens without expert",
    spec: {
      ...titled("Tokens without expert, mean of the layers", stageText(runs)),
      ...plane([
        ...stageLayers(runs, color),
        ...scatteredCurves(curves, axes, options),
        ...endLabels(
          smoothCurves(curves, options),
          axes,
          (value) => `${(100 * value).toPrecision(2)} %`,
        ),
      ]),
    },
  };
}

/** λ·L_reg, step by step. */
function weighed({ figures: { lambda, l1_reg } }: RunFigures): Point[] {
  return l1_reg.map(({ x, value }, index) => ({ x, value: value * lambda[index]!.value }));
}

/** What has a logarithm. */
function positive(points: readonly Point[]): Point[] {
  return points.filter(({ value }) => value > 0);
}

function twoDigits(value: number): string {
  return value >= 0.01 && value < 1000 ? value.toPrecision(3) : value.toExponential(1);
}
