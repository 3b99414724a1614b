/**
 * Charts of the adaptive L1 term: λ, the term beside the language-model loss, and the tokens it
 * leaves without an expert.
 *
 * @module
 */

import { routedLayers } from "../config/layer_widths.ts";
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

/** Size of each view in a chart of two. */
const SIZE = { height: 200 };

/** Names of the dashed curves and of the solid ones. */
const [LOSS, TERM] = ["language-model loss", "λ·L_reg"];

/**
 * λ of all runs that adapt it.
 *
 * @param runs The runs.
 * @returns The chart; null if no run adapts λ.
 */
export function lambdaChart(runs: readonly RunFigures[]): Chart | null {
  const adaptive = runs.filter(isAdaptive);
  if (adaptive.length === 0) return null;
  const color = runColours(runs, adaptive);
  const axes = { x: horizontalAxis(runs), y: logAxis("λ"), color };
  const curves = adaptive.map((run) => ({ name: run.label, points: positive(run.figures.lambda) }));
  return {
    name: "lambda",
    title: "λ",
    spec: {
      ...titled("Coefficient of the adaptive L1 term, λ", stageText(runs)),
      ...plane([
        ...stageLayers(runs, color),
        ...curveLayer(curves, axes),
        ...endLabels(curves, axes, (value) => value.toExponential(1)),
      ]),
    },
  };
}

/**
 * L_reg of equation 9 or 10, and below it λ·L_reg beside the language-model loss: the paper's
 * figures 4b and 4c.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart; null if no run has an adaptive L1 term.
 */
export function regularizationChart(
  runs: readonly RunFigures[],
  options: DrawOptions,
): Chart | null {
  const adaptive = runs.filter(isAdaptive);
  if (adaptive.length === 0) return null;
  const several = runs.length > 1;
  return {
    name: "regularization",
    title: "Regularisation",
    spec: {
      ...titled(
        "L_reg, and λ·L_reg beside the language-model loss",
        stageText(runs),
        several ? "below, dashed: the loss; solid: λ·L_reg" : undefined,
      ),
      vconcat: [termPlane(runs, adaptive, options), lossPlane(runs, adaptive, options)],
      // A single run's views name different things in their legends.
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
  const axes = { x: horizontalAxis(runs), y: logAxis("L_reg"), color };
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
  const axes = { x: horizontalAxis(runs), y: logAxis("nats per token"), color };
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
 * The share of (token, layer) pairs that no expert of the layer takes, for runs whose router may
 * leave a token without one.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart; null if there is no such run.
 */
export function withoutExpertChart(
  runs: readonly RunFigures[],
  options: DrawOptions,
): Chart | null {
  // Expert choice is exact, and yet leaves tokens without an expert.
  const open = runs.filter(({ config: { moe }, figures }) =>
    !routerOf(moe).exact || figures.tokens_without_expert.some(({ value }) => value > 0)
  );
  if (open.length === 0) return null;
  const color = runColours(runs, open);
  const axes = {
    x: horizontalAxis(runs),
    y: valueAxis({ title: "share of tokens", labels: { format: ".1%" }, scale: { zero: true } }),
    color,
  };
  const curves = open.map(({ label, config, figures }) => {
    const pairs = config.data.batch * config.data.sequence * routedLayers(config);
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

function isAdaptive({ config: { moe } }: RunFigures): boolean {
  return routerOf(moe).adapts(moe);
}

/** A vertical axis that labels powers of ten like `1e-4`. */
function logAxis(quantity: string): Spec {
  return valueAxis({
    title: `${quantity} (logarithmic)`,
    labels: { labelExpr: "replace(format(datum.value, '.0e'), '+', '')" },
    scale: { type: "log", nice: false },
  });
}

/** λ·L_reg, step by step. */
function weighed({ figures: { lambda, l1_reg } }: RunFigures): Point[] {
  return l1_reg.map(({ x, value }, index) => ({ x, value: value * lambda[index]!.value }));
}

/** The points that have a logarithm. */
function positive(points: readonly Point[]): Point[] {
  return points.filter(({ value }) => value > 0);
}

function twoDigits(value: number): string {
  return value >= 0.01 && value < 1000 ? value.toPrecision(3) : value.toExponential(1);
}
