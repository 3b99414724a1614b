/**
 * Charts of a trained model's routing: sparsity of layers, experts by token frequency, and experts
 * per token of each domain.
 *
 * @module
 */

import type {
  DomainActiveReport,
  DomainLoadReport,
  FrequencyReport,
  LoadReport,
  SparsityReport,
} from "../analyze/reports.ts";
import { visibleName } from "../visible.ts";
import { type Chart, curveColours, plane, titled, valueAxis } from "./chart.ts";
import { curveLayer } from "./curve_layers.ts";
import { PREFIXED_LABELS } from "./horizontal.ts";
import { domainLoadChart, routedLoadChart } from "./routing_heat_maps.ts";
import type { Point } from "./run_figures.ts";
import { curveColour, INK, MUTED, type Spec } from "./theme.ts";

/** What the charts show. */
export interface RoutingReports {
  /** How evenly the experts are used. */
  readonly load: LoadReport;
  /** How sparse each layer is. */
  readonly sparsity: SparsityReport;
  /** Whether rare tokens get more experts. */
  readonly frequency: FrequencyReport;
  /** Which experts each domain uses; null without domains. */
  readonly domains: DomainLoadReport | null;
  /** How many experts each domain's tokens have; null without domains. */
  readonly domain_active: DomainActiveReport | null;
}

/** A chart and the figures that it shows. */
export interface RoutingChart extends Chart {
  /** What it shows, as JSON. */
  readonly report: object;
}

/** Token ids drawn: more could not be told apart. */
const MOST_TOKENS = 1500;

/** Ids per point of the mean curve, and the most of its points. */
const [BIN, BINS] = [12, 24];

/**
 * Makes the charts of a model's routing.
 *
 * @param reports What they show.
 * @returns The charts, each with a unique name.
 */
export function routingCharts(reports: RoutingReports): RoutingChart[] {
  const { load, sparsity, frequency, domains, domain_active: active } = reports;
  return [
    { ...routedLoadChart(load), report: load },
    { ...sparsityOfLayers(sparsity), report: sparsity },
    { ...frequencyChart(frequency), report: frequency },
    ...(domains === null ? [] : [{ ...domainLoadChart(domains), report: domains }]),
    ...(active === null ? [] : [{ ...domainActiveChart(active), report: active }]),
  ];
}

function sparsityOfLayers(report: SparsityReport): Chart {
  const { target, sparsity, sparsity_per_layer, without_expert_per_layer: without } = report;
  const names = ["sparsity", "tokens without expert"];
  const axes = {
    x: layerAxis(sparsity_per_layer.length),
    y: valueAxis({ title: "share", scale: { domain: [0, 1] } }),
    color: curveColours(names),
  };
  const curves = [sparsity_per_layer, without].map((values, index) => ({
    name: names[index]!,
    points: values.map((value, x): Point => ({ x, value })),
  }));
  return {
    name: "sparsity",
    title: "Sparsity by layer",
    spec: {
      ...titled(
        "Sparsity of each layer, and its tokens without expert",
        `mean sparsity ${sparsity.toFixed(4)}, target ${target.toFixed(4)}`,
      ),
      ...plane([
        ...targetLayers(target, `target ${Number(target.toFixed(4))}`, axes),
        ...curveLayer(curves, axes, { point: { filled: true, size: 45 } }),
      ]),
    },
  };
}

/** Figure 7 of the paper, with the frequency along the axis in place of a second curve. */
function frequencyChart({ target, rank_correlation, least, tokens }: FrequencyReport): Chart {
  const most = tokens[0]!.occurrences;
  const axes = {
    x: {
      field: "x",
      type: "quantitative",
      title: "occurrences of the token id (logarithmic)",
      // Beyond the rarest and the most frequent id, so that no dot lies on the edge.
      scale: { type: "log", nice: false, domain: [0.8, 1.25 * most] },
      axis: { grid: false, values: powersOfTen(most), labelExpr: PREFIXED_LABELS },
    },
    y: valueAxis({ title: "experts per token, mean of layers", scale: { zero: true } }),
  };
  const every = Math.ceil(tokens.length / MOST_TOKENS);
  const values = tokens.filter((_, i) => i % every === 0)
    .map(({ occurrences, active }) => ({ x: occurrences, value: active }));
  const correlation = rank_correlation === null
    ? undefined
    : `rank correlation ${rank_correlation.toFixed(2)} over ids with at least ${least} occurrences`;
  return {
    name: "frequency",
    title: "Experts by token frequency",
    spec: {
      ...titled(
        "Experts per token by the token's frequency",
        correlation,
        `dots: ${tokens.length.toLocaleString("en")} token ids` +
          (every > 1 ? `, every ${every}th drawn` : "") + "; line: mean of ids of like frequency",
      ),
      ...plane([
        ...targetLayers(target, `target ${Number(target.toFixed(4))}`, axes),
        {
          data: { values },
          mark: { type: "circle", size: 18, opacity: 0.35, color: MUTED.light },
          encoding: axes,
        },
        ...curveLayer([{ name: "mean", points: binned(tokens) }], axes, { color: curveColour(0) }),
      ]),
    },
  };
}

/** The powers of ten up to a number. */
function powersOfTen(most: number): number[] {
  return Array.from({ length: 1 + Math.floor(Math.log10(most)) }, (_, power) => 10 ** power);
}

/** Means of neighbouring ids, weighed by their occurrences. */
function binned(tokens: FrequencyReport["tokens"]): Point[] {
  const size = Math.max(BIN, Math.ceil(tokens.length / BINS));
  const points: Point[] = [];
  for (let start = 0; start < tokens.length; start += size) {
    const bin = tokens.slice(start, start + size);
    const total = bin.reduce((sum, { occurrences }) => sum + occurrences, 0);
    const active = bin.reduce((sum, each) => sum + each.occurrences * each.active, 0);
    const logarithm = bin.reduce((sum, { occurrences }) => sum + Math.log(occurrences), 0);
    points.push({ x: Math.exp(logarithm / bin.length), value: active / total });
  }
  return points;
}

function domainActiveChart({ target, domains }: DomainActiveReport): Chart {
  const named = Object.entries(domains).map(([name, values]) => ({
    name: visibleName(name),
    points: values.map((value, x): Point => ({ x, value })),
  }));
  const axes = {
    x: layerAxis(named[0]!.points.length),
    y: valueAxis({ title: "experts per token", scale: { zero: true } }),
    color: curveColours(named.map(({ name }) => name)),
  };
  return {
    name: "domain_active",
    title: "Experts per token by domain",
    spec: {
      ...titled("Experts per token of each domain, layer by layer"),
      ...plane([
        ...targetLayers(target, `target ${Number(target.toFixed(4))}`, axes),
        ...curveLayer(named, axes, { point: { filled: true, size: 36 } }),
      ]),
    },
  };
}

function layerAxis(layers: number): Spec {
  return {
    field: "x",
    type: "quantitative",
    title: "layer",
    scale: { domain: layers === 1 ? [-1, 1] : [0, layers - 1], nice: false },
    axis: { grid: false, tickMinStep: 1, tickCount: Math.min(12, layers), format: "d" },
  };
}

/** A dashed line at the target, named at its left end. */
function targetLayers(target: number, text: string, { y }: Spec): Spec[] {
  const values = [{ value: target, text }];
  return [
    {
      data: { values },
      mark: { type: "rule", strokeDash: [6, 4], color: INK.light },
      encoding: { y },
    },
    {
      data: { values },
      mark: {
        ...{ type: "text", align: "left", baseline: "bottom", fontSize: 12 },
        ...{ dx: 4, dy: -3, color: INK.light },
      },
      encoding: { x: { value: 0 }, y, text: { field: "text" } },
    },
  ];
}
