/**
 * The charts of a comparison.
 *
 * @module
 */

import { largest, smallest } from "../extremes.ts";
import {
  type Chart,
  curveColours,
  horizontalAxis,
  plane,
  titled,
  valueAxis,
  WIDTH,
} from "../plot/chart.ts";
import { endLabels } from "../plot/end_labels.ts";
import { HORIZONTALS } from "../plot/horizontal.ts";
import { curveColour, INK, MUTED, type Spec } from "../plot/theme.ts";
import { type Band, bandLayers, lineStyles, spacedLabels } from "./band_layers.ts";
import { bandOf, loadCurve, lossCurve, type SeedPoint, sparsityCurve } from "./curves.ts";
import type { RunResult } from "./run_result.ts";
import { resultsOf, type RowSummary, type RunOutcome } from "./summary.ts";

/**
 * Builds the charts of a comparison.
 *
 * @param rows The rows, in order.
 * @param outcomes Their runs.
 * @returns The charts that have data; none before a run is finished.
 */
export function compareCharts(
  rows: readonly RowSummary[],
  outcomes: readonly RunOutcome[],
): Chart[] {
  const finished = rows.filter(({ figures }) => figures !== null);
  // A repetition with another instruction set would cover its row.
  const drawn = finished.filter(({ isa }) => isa === null);
  if (drawn.length === 0) return [];
  const bands = (curve: (result: RunResult) => SeedPoint[]): Band[] =>
    drawn.map(({ label }) => ({
      name: label,
      points: bandOf([...resultsOf(outcomes, label).values()].map(curve)),
    }));
  return [
    lossChart(bands((result) => lossCurve(result, "step")), "step"),
    lossChart(bands((result) => lossCurve(result, "flops")), "flops"),
    finalLossChart(drawn),
    differenceChart(finished, rowColours(drawn)),
    sparsityChart(bands(sparsityCurve), drawn.flatMap(({ target }) => target ?? [])),
    loadChart(bands(loadCurve)),
  ].filter((chart) => chart !== null);
}

function lossChart(bands: readonly Band[], along: "step" | "flops"): Chart {
  const points = bands.flatMap(({ points }) => points);
  const end = largest(points.map(({ x }) => x));
  const late = points.filter(({ x }) => x >= end / 10);
  const domain = [
    smallest(late.map(({ low }) => low)),
    largest(late.map(({ high }) => high)),
  ];
  const axes = {
    x: along === "step" ? horizontalAxis([], "x", [0, end]) : flopsAxis(end),
    y: valueAxis({
      title: "validation loss, nats per token",
      scale: domain[0]! < domain[1]! ? { domain, nice: true } : {},
    }),
    ...lineStyles(bands),
  };
  return {
    name: `loss-${along}`,
    title: along === "step" ? "Validation loss" : "Validation loss by compute",
    spec: {
      ...titled(
        along === "step" ? "Validation loss by steps" : "Validation loss by executed FLOPs",
        SEEDS,
      ),
      ...plane([
        ...bandLayers(bands, axes),
        ...spacedLabels(bands, axes, end),
      ]),
    },
  };
}

const SEEDS = "mean over seeds; area: from the lowest seed to the highest";

function flopsAxis(end: number): Spec {
  const { title, labelExpr } = HORIZONTALS.flops;
  return {
    field: "x",
    type: "quantitative",
    title,
    scale: { domain: [0, end], nice: false },
    axis: { grid: false, tickCount: 8, labelExpr },
  };
}

function sparsityChart(all: readonly Band[], targets: readonly number[]): Chart | null {
  const bands = all.filter(({ points }) => points.length > 0);
  if (bands.length === 0) return null;
  const points = bands.flatMap(({ points }) => points);
  const lowest = smallest(points.map(({ low }) => low));
  const axes = {
    x: horizontalAxis([], "x", [0, largest(points.map(({ x }) => x))]),
    y: valueAxis({
      title: "sparsity (share of closed gates)",
      scale: { domain: [lowest < 0.5 ? 0 : Math.floor(lowest * 10) / 10, 1] },
    }),
    ...lineStyles(bands, all),
  };
  return {
    name: "sparsity",
    title: "Sparsity",
    spec: {
      ...titled("Mean sparsity by steps", SEEDS, "dashed: the target"),
      ...plane([
        ...targetLayer(targets, axes.y),
        ...bandLayers(bands, axes),
        ...endLabels(bands, axes, (value) => value.toFixed(3)),
      ]),
    },
  };
}

/** The target sparsities, one rule each. */
function targetLayer(targets: readonly number[], y: Spec): Spec[] {
  const values = [...new Set(targets)].map((value) => ({ value }));
  const mark = { type: "rule", strokeDash: [6, 4], color: INK.light };
  return values.length === 0 ? [] : [{ data: { values }, mark, encoding: { y } }];
}

function loadChart(all: readonly Band[]): Chart | null {
  const bands = all.filter(({ points }) => points.length > 1);
  if (bands.length === 0) return null;
  const points = bands.flatMap(({ points }) => points);
  const ranks = largest(points.map(({ x }) => x));
  const axes = {
    x: { ...horizontalAxis([], "x", [1, ranks]), title: "rank of the expert, the busiest first" },
    y: valueAxis({
      title: "load over the fair share",
      scale: { domain: [0, Math.max(2, largest(points.map(({ high }) => high)))] },
    }),
    ...lineStyles(bands, all),
  };
  return {
    name: "load",
    title: "Load of experts",
    spec: {
      ...titled("Load of experts over the second half, mean over layers", SEEDS),
      ...plane([
        {
          data: { values: [{ value: 1 }] },
          mark: { type: "rule", strokeDash: [6, 4], color: INK.light },
          encoding: { y: axes.y },
        },
        ...bandLayers(bands, axes, { point: { filled: true, size: 24 } }),
      ]),
    },
  };
}

function finalLossChart(rows: readonly RowSummary[]): Chart {
  const values = rows.map(({ label, figures }) => {
    const { mean, standard_error } = figures!.valid_loss;
    const error = standard_error ?? 0;
    return { name: label, value: mean, low: mean - error, high: mean + error };
  });
  const seeds = rows.some(({ figures }) => figures!.valid_loss.n > 1);
  return {
    name: "final-loss",
    title: "Final validation loss",
    spec: {
      ...titled(
        "Final validation loss",
        seeds ? "mean over seeds ± standard error" : "one seed: no standard error",
      ),
      ...intervalPlane(values, "validation loss, nats per token", rowColours(rows)),
    },
  };
}

/** Each row has the colour of its curves; repetitions are not drawn and have none. */
function rowColours(drawn: readonly RowSummary[]): ReadonlyMap<string, string> {
  return new Map(drawn.map(({ label }, index) => [label, curveColour(index)]));
}

function differenceChart(
  rows: readonly RowSummary[],
  colours: ReadonlyMap<string, string>,
): Chart | null {
  const values = rows.flatMap(({ label, figures }) => {
    const difference = figures?.difference ?? null;
    if (difference === null) return [];
    const { mean, interval } = difference;
    const [low, high] = interval ?? [mean, mean];
    return [{ name: label, value: mean, low, high }];
  });
  if (values.length === 0) return null;
  const several = rows.some(({ figures }) => (figures?.difference?.n ?? 0) > 1);
  const baselines = new Set(
    rows.flatMap(({ figures, isa }) =>
      isa === null && figures?.difference ? [figures.difference.baseline] : []
    ),
  );
  const [only] = baselines.size === 1 ? baselines : ["the baseline of the same settings"];
  return {
    name: "difference",
    title: "Difference to the baseline",
    spec: {
      ...titled(
        `Validation loss less that of ${only ?? "the baseline"}`,
        several ? "mean of seed by seed, 95 % confidence interval" : "one seed: no interval",
      ),
      ...intervalPlane(values, "difference, nats per token; left is better", colours, 0),
    },
  };
}

/** Each row's value with its interval, one row below the other. */
function intervalPlane(
  values: readonly { name: string; value: number; low: number; high: number }[],
  title: string,
  colours: ReadonlyMap<string, string>,
  rule?: number,
): Spec {
  const names = values.map(({ name }) => name);
  const y = { field: "name", type: "nominal", sort: names, title: null, axis: { labelLimit: 320 } };
  const x = valueAxis({ title });
  const range = names.map((name) => colours.get(name) ?? MUTED.light);
  const color = { ...curveColours(names, range), legend: null };
  const at = { data: { values } };
  return plane([
    ...(rule === undefined ? [] : [{
      data: { values: [{ value: rule }] },
      mark: { type: "rule", strokeDash: [6, 4], color: MUTED.light },
      encoding: { x },
    }]),
    {
      ...at,
      mark: { type: "rule", strokeWidth: 3, opacity: 0.6 },
      encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color },
    },
    {
      ...at,
      mark: { type: "point", filled: true, size: 70, opacity: 1 },
      encoding: { y, x, color },
    },
  ], { height: { step: 28 }, width: WIDTH });
}
