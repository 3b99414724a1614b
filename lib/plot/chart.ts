/**
 * Building blocks of charts: axes, colours and stage marks, as fragments of a Vega-Lite
 * specification.
 *
 * @module
 */

import { largest, smallest } from "../extremes.ts";
import { routerOf } from "../moe/router_of.ts";
import { HORIZONTALS, PREFIXED_LABELS } from "./horizontal.ts";
import type { RunFigures } from "./run_figures.ts";
import { curveColour, MUTED, type Spec, STAGES } from "./theme.ts";

/** A chart, drawn to a file and on the page. */
export interface Chart {
  /** The file's name without its extension. */
  readonly name: string;
  /** What it shows. */
  readonly title: string;
  /** Its Vega-Lite specification. */
  readonly spec: Spec;
}

/** A vertical axis. */
export interface VerticalAxis {
  /** Quantity and unit. */
  readonly title: string;
  /** Label format, where Vega's default does not do. */
  readonly labels?: Spec;
  /** Type and domain of the scale. */
  readonly scale?: Spec;
}

/** Width of a chart's plot area in pixels. */
export const WIDTH = 560;
/** Height of a chart's plot area in pixels. */
export const HEIGHT = 280;
/** Axis labels like `20k`. */
export const PREFIXED: Spec = { labelExpr: PREFIXED_LABELS };

/**
 * The horizontal extent of a set of runs.
 *
 * @param runs The runs.
 * @returns Both ends.
 */
export function horizontalDomain(runs: readonly RunFigures[]): [number, number] {
  const ends = runs.flatMap(({ figures }) => [figures.loss[0]!.x, figures.loss.at(-1)!.x]);
  return [smallest(ends), largest(ends)];
}

/**
 * The horizontal position channel.
 *
 * @param runs The runs, all read along the same axis.
 * @param field The data field; default `x`.
 * @param domain Both ends of the axis; default {@linkcode horizontalDomain} of the runs.
 * @returns A position channel.
 */
export function horizontalAxis(
  runs: readonly RunFigures[],
  field = "x",
  [from, to]: readonly [number, number] = horizontalDomain(runs),
): Spec {
  const along = runs[0]?.along ?? "step";
  const { title, labelExpr } = HORIZONTALS[along];
  const isWhole = along === "step";
  return {
    field,
    type: "quantitative",
    title,
    // A single step would leave the domain empty.
    scale: { domain: from === to ? [from - 1, to + 1] : [from, to], nice: false },
    axis: {
      grid: false,
      tickCount: 8,
      ...(isWhole ? { tickMinStep: 1 } : {}),
      ...(labelExpr === undefined && to < 10_000
        ? { format: ",d" }
        : { labelExpr: labelExpr ?? PREFIXED_LABELS }),
    },
  };
}

/**
 * The vertical position channel.
 *
 * @param axis Title, labels and scale.
 * @param field The data field; default `value`.
 * @returns A position channel.
 */
export function valueAxis({ title, labels, scale = {} }: VerticalAxis, field = "value"): Spec {
  return {
    field,
    type: "quantitative",
    title,
    scale: scale["type"] === "log" ? scale : { zero: false, ...scale },
    axis: { tickCount: 6, ...labels },
  };
}

/**
 * The colour channel for runs. A run has the same colour in every chart; the legend lists only the
 * runs drawn in this one.
 *
 * @param runs All runs; a single one needs no legend.
 * @param drawn Those with a curve in this chart; default all.
 * @returns A colour channel on the field `name`.
 */
export function runColours(
  runs: readonly RunFigures[],
  drawn: readonly RunFigures[] = runs,
): Spec {
  const channel = curveColours(runs.map(({ label }) => label));
  const legend = channel["legend"] as Spec | null;
  const values = drawn.map(({ label }) => label);
  return { ...channel, legend: legend === null ? null : { ...legend, values } };
}

/**
 * The colour channel for named curves.
 *
 * @param names The names in order; a single one needs no legend.
 * @param colours Their colours; default the theme's.
 * @returns A colour channel on the field `name`.
 */
export function curveColours(
  names: readonly string[],
  colours: readonly string[] = names.map((_, index) => curveColour(index)),
): Spec {
  const longest = largest(names.map(({ length }) => length));
  return {
    field: "name",
    type: "nominal",
    scale: { domain: names, range: colours },
    legend: names.length < 2 ? null : {
      title: null,
      symbolType: "stroke",
      symbolSize: 300,
      symbolOpacity: 1,
      symbolStrokeWidth: 2.5,
      symbolDash: [1, 0],
      columns: Math.max(1, Math.min(names.length, Math.floor(WIDTH / (8 * longest + 40)))),
    },
  };
}

/**
 * Marks the stages behind the curves: shaded areas for a single run; for several, a dotted line in
 * the run's colour where each stage after the first begins.
 *
 * @param runs The runs.
 * @param color The chart's colour channel: all layers of a plane share one.
 * @returns The layers; none if no run has stages to tell apart.
 */
export function stageLayers(runs: readonly RunFigures[], color = runColours(runs)): Spec[] {
  const staged = runs.filter(({ config }) => routerOf(config.moe).lambda);
  const [only] = staged;
  if (only === undefined) return [];
  if (runs.length > 1) return stageStarts(runs, color);
  const values = only.stages.map(({ stage, from, to }, index) => ({
    stage,
    from,
    to: only.stages[index + 1]?.from ?? to,
  }));
  const names = values.map(({ stage }) => stage);
  return [{
    data: { values },
    // Lets the grid lines show through.
    mark: { type: "rect", opacity: 0.65 },
    encoding: {
      x: horizontalAxis(runs, "from"),
      x2: { field: "to" },
      fill: {
        field: "stage",
        type: "nominal",
        scale: { domain: names, range: names.map((stage) => STAGES[stage].light) },
        legend: {
          title: null,
          symbolType: "square",
          symbolSize: 180,
          symbolOpacity: 1,
          symbolStrokeWidth: 1,
          symbolStrokeColor: MUTED.light,
        },
      },
    },
  }];
}

/**
 * Says where the stages begin.
 *
 * @param runs The runs.
 * @returns Like `dense, sparsifying from step 60, sparse from step 96`; undefined if there is
 * nothing to say.
 */
export function stageText(runs: readonly RunFigures[]): string | undefined {
  const staged = runs.filter(({ stages }) => stages.length > 1);
  if (staged.length === 0) return undefined;
  if (runs.length > 1) return "dotted: start of the sparsifying and of the sparse stage";
  return staged[0]!.stages
    .map(({ stage, step }, index) =>
      index === 0 ? stage : `${stage} from step ${step.toLocaleString("en")}`
    )
    .join(", ");
}

/**
 * Stacks layers in one view.
 *
 * @param layers The layers, bottom first.
 * @param size Width and height, where not the default.
 * @returns A view.
 */
export function plane(layers: readonly Spec[], size: Spec = {}): Spec {
  return { width: WIDTH, height: HEIGHT, ...size, layer: layers };
}

/**
 * A title with optional subtitle lines.
 *
 * @param text The title.
 * @param lines The subtitle lines; undefined ones are dropped.
 * @returns A view's `title` property.
 */
export function titled(text: string, ...lines: readonly (string | undefined)[]): Spec {
  const subtitle = lines.filter((line) => line !== undefined);
  return { title: { text, ...(subtitle.length === 0 ? {} : { subtitle }) } };
}

function stageStarts(runs: readonly RunFigures[], color: Spec): Spec[] {
  const values = runs.flatMap(({ label, stages }) =>
    stages.slice(1).map(({ from }) => ({ name: label, x: from }))
  );
  if (values.length === 0) return [];
  return [{
    data: { values },
    mark: { type: "rule", strokeDash: [2, 3], strokeWidth: 1.25 },
    encoding: { x: horizontalAxis(runs), color },
  }];
}
