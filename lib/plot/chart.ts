/**
 * The parts that charts are put together from: axes, colours and the marks of stages, as pieces of a
 * Vega-Lite specification.
 *
 * @module
 */

import { largest, smallest } from "../extremes.ts";
import { routerOf } from "../moe/router_of.ts";
import { HORIZONTALS, PREFIXED_LABELS } from "./horizontal.ts";
import type { RunFigures } from "./run_figures.ts";
import { curveColour, MUTED, type Spec, STAGES } from "./theme.ts";

/** A chart: a file of its own, and a part of the page. */
export interface Chart {
  /** The file's name without its extension. */
  readonly name: string;
  /** What it shows. */
  readonly title: string;
  /** What Vega-Lite draws. */
  readonly spec: Spec;
}

/** A vertical axis. */
export interface VerticalAxis {
  /** What it measures and in which unit. */
  readonly title: string;
  /** How the axis writes its numbers, where not as Vega does. */
  readonly labels?: Spec;
  /** Kind and domain of the scale. */
  readonly scale?: Spec;
}

/** Width of a chart's plane in pixels. */
export const WIDTH = 560;
/** Height of a chart's plane in pixels. */
export const HEIGHT = 280;
/** Labels of an axis like `20k`. */
export const PREFIXED: Spec = { labelExpr: PREFIXED_LABELS };
/**
 * Where the horizontal axis of some runs begins and ends.
 *
 * @param runs The runs.
 * @returns Both ends.
 */
export function horizontalDomain(runs: readonly RunFigures[]): [number, number] {
  const ends = runs.flatMap(({ figures }) => [figures.loss[0]!.x, figures.loss.at(-1)!.x]);
  return [smallest(ends), largest(ends)];
}

/**
 * The horizontal axis.
 *
 * @param runs The runs, which all run along the same.
 * @param field The field that holds the place; default `x`.
 * @param domain Where it begins and ends; default as {@linkcode horizontalDomain}.
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
    // A single step has no length to draw.
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
 * A vertical axis.
 *
 * @param axis What it shows.
 * @param field The field that holds the value; default `value`.
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
 * The colour channel of runs: each keeps its colour in every chart, and the legend names those that
 * have a curve in this one.
 *
 * @param runs All runs; a single one needs no legend.
 * @param drawn Those that have a curve; default all.
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
 * The colour channel of named curves.
 *
 * @param names The names in order; a single one needs no legend.
 * @param colours Their colours; default those of the theme.
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
 * The stages, behind the curves: areas where one run is drawn; where there are several, a dotted
 * line in the run's colour at the start of each stage but the first.
 *
 * @param runs The runs.
 * @param color The chart's colour channel: all layers of a plane share one.
 * @returns Layers; none where no run has stages to tell apart.
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
    // The lines of the grid shine through.
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
 * Where the stages of a run begin, in words.
 *
 * @param runs The runs.
 * @returns Like `dense, sparsifying from step 60, sparse from step 96`; undefined where there is
 * nothing to say.
 */
export function stageText(runs: readonly RunFigures[]): string | undefined {
  const staged = runs.filter(({ stages }) => stages.length > 1);
  if (staged.length === 0) return undefined;
  if (runs.length > 1) return "dotted: a run becomes sparsifying, then sparse";
  return staged[0]!.stages
    .map(({ stage, step }, index) =>
      index === 0 ? stage : `${stage} from step ${step.toLocaleString("en")}`
    )
    .join(", ");
}

/**
 * Puts layers into one plane.
 *
 * @param layers The layers, lowest first.
 * @param size Width and height where they differ from the usual.
 * @returns A view.
 */
export function plane(layers: readonly Spec[], size: Spec = {}): Spec {
  return { width: WIDTH, height: HEIGHT, ...size, layer: layers };
}

/**
 * A title, with smaller lines where there is more to say.
 *
 * @param text What the chart shows.
 * @param lines The lines; those that are undefined are left out.
 * @returns The title of a view.
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
