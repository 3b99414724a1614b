/**
 * Sparsity, and λ, which holds it at its target.
 *
 * @module
 */

import { routerOf } from "../moe/routers.ts";
import { largest, smallest } from "../extremes.ts";
import {
  type Chart,
  curveColours,
  curveLayer,
  type DrawOptions,
  plane,
  scatteredCurves,
  stageLayers,
  stageText,
  stepAxis,
  stepDomain,
  titled,
  valueAxis,
} from "./chart.ts";
import { thin } from "./curves.ts";
import type { RunFigures } from "./run_figures.ts";
import { curveColour, INK, type Spec } from "./theme.ts";

/**
 * Sparsity of all runs with their targets; of a single run also how far its layers are apart.
 *
 * @param runs The runs; dense ones have no sparsity.
 * @param options How strongly to smooth.
 * @returns The chart; null where all are dense.
 */
export function sparsityChart(runs: readonly RunFigures[], options: DrawOptions): Chart | null {
  const routed = runs.filter(isRouted);
  if (routed.length === 0) return null;
  const domain = stepDomain(runs);
  const axes = { x: stepAxis(domain), y: shareAxis(routed), color: colours(runs) };
  const curves = routed.map(({ label, figures }) => ({ name: label, points: figures.sparsity }));
  const band = routed.length === 1 ? layerBand(routed[0]!, axes, runs.indexOf(routed[0]!)) : [];
  const area = band.length > 0 ? "area: between the lowest and the highest layer" : undefined;
  return {
    name: "sparsity",
    title: "Sparsity",
    spec: {
      ...titled("Mean sparsity and its target", stageText(runs), area),
      ...plane([
        ...stageLayers(runs, domain),
        ...band,
        ...targetLayers(routed, axes),
        ...scatteredCurves(curves, axes, options),
      ]),
    },
  };
}

/**
 * Sparsity of each layer of a run.
 *
 * @param run The run.
 * @param options How strongly to smooth.
 * @returns The chart; null where the run is dense, or keeps every layer at its target.
 */
export function layerSparsityChart(run: RunFigures, options: DrawOptions): Chart | null {
  const { routed, exact } = routerOf(run.config.moe);
  if (!routed || exact) return null;
  const domain = stepDomain([run]);
  const axes = {
    x: stepAxis(domain),
    y: shareAxis([run]),
    color: {
      field: "name",
      type: "quantitative",
      // The darkest end of the scale is lost on a dark page, the brightest on white.
      scale: { scheme: { name: "viridis", extent: [0.25, 0.88] }, domain: layerDomain(run) },
      legend: {
        title: "layer",
        direction: "horizontal",
        format: "d",
        tickMinStep: 1,
        gradientLength: 160,
      },
    },
  };
  const curves = run.layers.map((points, layer) => ({ name: `${layer}`, points }));
  const width = options.smooth ?? Math.max(1, Math.round(run.figures.loss.length / 50));
  const layers = scatteredCurves(curves, { ...axes, detail: { field: "name" } }, { smooth: width });
  return {
    name: "layers",
    title: "Sparsity by layer",
    spec: {
      ...titled("Sparsity by layer", stageText([run])),
      ...plane([
        ...stageLayers([run], domain),
        ...targetLayers([run], axes),
        // The curves as they are would cover each other.
        ...layers.slice(-1),
      ]),
    },
  };
}

/**
 * λ of all runs that have one.
 *
 * @param runs The runs.
 * @returns The chart; null where none has.
 */
export function lambdaChart(runs: readonly RunFigures[]): Chart | null {
  const adaptive = runs.filter(({ config: { moe } }) => routerOf(moe).adapts(moe));
  if (adaptive.length === 0) return null;
  const domain = stepDomain(runs);
  const axes = {
    x: stepAxis(domain),
    y: valueAxis({
      title: "λ (logarithmic)",
      labels: { labelExpr: "replace(format(datum.value, '.0e'), '+', '')" },
      scale: { type: "log", nice: false },
    }),
    color: colours(runs),
  };
  const curves = adaptive.map(({ label, figures }) => ({
    name: label,
    points: figures.lambda.filter(({ value }) => value > 0),
  }));
  return {
    name: "lambda",
    title: "λ",
    spec: {
      ...titled("Coefficient of the adaptive L1 term, λ", stageText(runs)),
      ...plane([...stageLayers(runs, domain), ...curveLayer(curves, axes)]),
    },
  };
}

function isRouted({ config }: RunFigures): boolean {
  return routerOf(config.moe).routed;
}

/** All runs keep their colour, also where not all are drawn. */
function colours(runs: readonly RunFigures[]): Spec {
  return curveColours(runs.map(({ label }) => label));
}

function layerDomain({ layers }: RunFigures): [number, number] {
  return [0, Math.max(1, layers.length - 1)];
}

function layerBand(run: RunFigures, { x, y }: Spec, colour: number): Spec[] {
  const { layers, figures, config } = run;
  if (routerOf(config.moe).exact || layers.length < 2) return [];
  const steps = new Set(thin(figures.sparsity, 400).map(({ step }) => step));
  const values = figures.sparsity.flatMap(({ step }, index) => {
    if (!steps.has(step)) return [];
    const each = layers.map((points) => points[index]?.value ?? NaN).filter(Number.isFinite);
    return each.length === 0 ? [] : [{ step, low: smallest(each), high: largest(each) }];
  });
  return [{
    data: { values },
    mark: { type: "area", opacity: 0.2, color: curveColour(colour) },
    encoding: { x, y: { ...(y as Spec), field: "low" }, y2: { field: "high" } },
  }];
}

function targetLayers(runs: readonly RunFigures[], { x, y }: Spec): Spec[] {
  const targets = new Set(runs.map(({ config: { moe } }) => 1 - moe.active / moe.experts));
  const values = [...targets].map((value) => ({
    value,
    step: ((x as Spec)["scale"] as { readonly domain: readonly number[] }).domain[1],
    text: `target ${Number(value.toFixed(4))}`,
  }));
  const text = { type: "text", align: "left", baseline: "middle", dx: 6, fontSize: 12 };
  return [
    {
      data: { values },
      mark: { type: "rule", strokeDash: [6, 4], color: INK.light },
      encoding: { y },
    },
    {
      data: { values },
      mark: { ...text, color: INK.light },
      encoding: { x, y, text: { field: "text" } },
    },
  ];
}

/** From 0 to 1, or only the upper part where all lies there. */
function shareAxis(runs: readonly RunFigures[]): Spec {
  const lowest = runs.flatMap(({ layers }) => layers.flat())
    .reduce((least, { value }) => value < least ? value : least, 1);
  const from = lowest < 0.5 ? 0 : Math.floor(lowest * 10) / 10;
  return valueAxis({ title: "sparsity (share of closed gates)", scale: { domain: [from, 1] } });
}
