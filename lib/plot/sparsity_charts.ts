/**
 * Charts of sparsity and its target, over all layers and by layer.
 *
 * @module
 */

import { targetSparsity } from "../autograd/lambda_rule.ts";
import { largest, smallest } from "../extremes.ts";
import { choosesExperts, routerOf } from "../moe/router_of.ts";
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
import { curveLayer, type DrawOptions, scatteredCurves, smoothCurves } from "./curve_layers.ts";
import { thin } from "./curves.ts";
import { endLabels } from "./end_labels.ts";
import type { RunFigures } from "./run_figures.ts";
import { curveColour, INK, type Spec } from "./theme.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/**
 * Mean sparsity of all runs with their targets; for a single run, also the spread of its layers.
 *
 * @param runs The runs; dense ones and those that merge experts have no sparsity.
 * @param options How strongly to smooth.
 * @returns The chart; null if no run has a sparsity.
 */
export function sparsityChart(runs: readonly RunFigures[], options: DrawOptions): Chart | null {
  const routed = runs.filter(isRouted);
  if (routed.length === 0) return null;
  const color = runColours(runs, routed);
  const axes = { x: horizontalAxis(runs), y: shareAxis(routed), color };
  const curves = routed.map(({ label, figures }) => ({ name: label, points: figures.sparsity }));
  const band = routed.length === 1 ? layerBand(routed[0]!, axes, runs.indexOf(routed[0]!)) : [];
  const area = band.length > 0 ? "area: between the lowest and the highest layer" : undefined;
  return {
    name: "sparsity",
    title: "Sparsity",
    spec: {
      ...titled("Mean sparsity and its target", stageText(runs), area),
      ...plane([
        ...stageLayers(runs, color),
        ...band,
        ...targetLayers(routed, axes),
        ...scatteredCurves(curves, axes, options),
        ...endLabels(smoothCurves(curves, options), axes, (value) => value.toFixed(3)),
      ]),
    },
  };
}

/**
 * Sparsity of each layer of a run.
 *
 * @param run The run.
 * @param options How strongly to smooth.
 * @returns The chart; null if the run is dense, or its router keeps every layer at its target.
 */
export function layerSparsityChart(run: RunFigures, options: DrawOptions): Chart | null {
  const { routed, exact } = routerOf(run.config.moe);
  if (!routed || exact) return null;
  const axes = {
    x: horizontalAxis([run]),
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
    detail: { field: "name" },
  };
  const curves = run.layers.map((points, layer) => ({ name: `${layer}`, points }));
  return {
    name: "layers",
    title: "Sparsity by layer",
    spec: {
      ...titled("Sparsity by layer", stageText([run])),
      ...plane([
        ...stageLayers([run]),
        ...targetLayers([run], axes),
        // The raw curves would cover each other.
        ...curveLayer(smoothCurves(curves, options), axes),
      ]),
    },
  };
}

function isRouted({ config }: RunFigures): boolean {
  return choosesExperts(routerOf(config.moe));
}

function layerDomain({ layers }: RunFigures): [number, number] {
  return [0, Math.max(1, layers.length - 1)];
}

function layerBand(run: RunFigures, axes: Spec, colour: number): Spec[] {
  const { layers, figures, config } = run;
  if (routerOf(config.moe).exact || layers.length < 2) return [];
  const places = new Set(thin(figures.sparsity, 400).map(({ x }) => x));
  const values = figures.sparsity.flatMap(({ x }, index) => {
    if (!places.has(x)) return [];
    const each = layers.map((points) => points[index]?.value ?? NaN).filter(Number.isFinite);
    return each.length === 0 ? [] : [{ x, low: smallest(each), high: largest(each) }];
  });
  return [{
    data: { values },
    mark: { type: "area", opacity: 0.2, color: curveColour(colour) },
    encoding: { x: axes["x"], y: { ...(axes["y"] as Spec), field: "low" }, y2: { field: "high" } },
  }];
}

function targetLayers(runs: readonly RunFigures[], { x, y }: Spec): Spec[] {
  const targets = new Set(runs.map(({ config: { moe } }) => targetSparsity(routedSizes(moe))));
  const values = [...targets].map((value) => ({
    value,
    x: ((x as Spec)["scale"] as { readonly domain: readonly number[] }).domain[0],
    text: `target ${Number(value.toFixed(4))}`,
  }));
  // On the left: the curves' final values are on the right.
  const text = { type: "text", align: "left", baseline: "bottom", dx: 4, dy: -3, fontSize: 12 };
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

/** From 0 to 1, or only the upper part if every value lies there. */
function shareAxis(runs: readonly RunFigures[]): Spec {
  const lowest = runs.flatMap(({ layers }) => layers.flat())
    .reduce((least, { value }) => value < least ? value : least, 1);
  const from = lowest < 0.5 ? 0 : Math.floor(lowest * 10) / 10;
  return valueAxis({ title: "sparsity (share of closed gates)", scale: { domain: [from, 1] } });
}
