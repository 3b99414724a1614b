/**
 * Mean curves with the spread of the seeds, as layers of a chart.
 *
 * @module
 */

import { curveColours } from "../plot/chart.ts";
import { endLabels } from "../plot/end_labels.ts";
import { curveColour, CURVES, type Spec } from "../plot/theme.ts";
import type { BandPoint } from "./curves.ts";

/** A row's mean curve. */
export interface Band {
  /** The row's label. */
  readonly name: string;
  /** Its points, in order of x. */
  readonly points: readonly BandPoint[];
}

const DASHES = [[1, 0], [6, 3], [2, 2]];

/** Colours and dashes of the rows: once the colours run out they repeat, dashed. */
export function lineStyles(bands: readonly Band[], all: readonly Band[] = bands): Spec {
  const names = all.map(({ name }) => name);
  const color = curveColours(names, names.map((_, index) => curveColour(index)));
  const legend = color["legend"] as Spec | null;
  const values = bands.map(({ name }) => name);
  const { symbolDash: _, ...shown } = legend ?? {};
  if (names.length <= CURVES.length) {
    return { color: { ...color, legend: legend && { ...legend, values } } };
  }
  const dashes = names.map((_, index) => DASHES[Math.floor(index / CURVES.length) % DASHES.length]);
  const dash = { scale: { domain: names, range: dashes }, legend: { ...shown, values } };
  return {
    color: { ...color, legend: { ...shown, values } },
    strokeDash: { field: "name", type: "nominal", ...dash },
  };
}

/** Labels at the curves' ends: only those that end at about the same x need to move apart. */
export function spacedLabels(bands: readonly Band[], axes: Spec, width: number): Spec[] {
  const groups = new Map<number, Band[]>();
  for (const band of bands) {
    const place = Math.round(20 * (band.points.at(-1)?.x ?? 0) / width);
    groups.set(place, [...groups.get(place) ?? [], band]);
  }
  return [...groups.values()].flatMap((group) =>
    endLabels(group, axes, (value) => value.toFixed(3))
  );
}

/** The area from the lowest seed to the highest, and the mean as a line. */
export function bandLayers(bands: readonly Band[], axes: Spec, mark: Spec = {}): Spec[] {
  const values = bands.flatMap(({ name, points }) => points.map((point) => ({ name, ...point })));
  const { x, y, color } = axes;
  const dots = bands.some(({ points }) => points.length === 1) ? { point: { filled: true } } : {};
  return [
    {
      data: { values },
      mark: { type: "area", opacity: 0.18, clip: true },
      encoding: {
        x,
        y: { ...(y as Spec), field: "low" },
        y2: { field: "high" },
        color,
      },
    },
    {
      data: { values },
      mark: { type: "line", strokeWidth: 2, strokeJoin: "round", clip: true, ...dots, ...mark },
      encoding: axes,
    },
  ];
}
