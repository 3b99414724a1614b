/**
 * Labels at the ends of curves, with their final values.
 *
 * @module
 */

import { HEIGHT } from "./chart.ts";
import type { Curve } from "./curve_layers.ts";
import type { Spec } from "./theme.ts";

/** Least distance between two labels in pixels. */
const LINE = 13;

/**
 * Writes the last value of each curve at its end, in the curve's colour. Labels that would overlap
 * are moved apart.
 *
 * @param curves The curves as drawn.
 * @param axes Position and colour channels.
 * @param write Formats a value.
 * @param height Height of the plot area in pixels.
 * @returns One layer; none if there are no points.
 */
export function endLabels(
  curves: readonly Curve[],
  axes: Spec,
  write: (value: number) => string,
  height: number = HEIGHT,
): Spec[] {
  const ends = curves.flatMap(({ name, points }) => {
    const last = points.findLast(({ value }) => Number.isFinite(value));
    return last === undefined ? [] : [{ name, ...last }];
  }).sort((a, b) => a.value - b.value);
  if (ends.length === 0) return [];
  const { scale } = axes["y"] as { readonly scale: Spec };
  const isLog = scale["type"] === "log";
  const [to, from] = isLog ? [Math.log, Math.exp] : [Number, Number];
  const [low, high] = extent(curves, scale);
  const gap = (to(high) - to(low)) * LINE / height;
  const places = apart(ends.map(({ value }) => to(value)), gap, to(high));
  const values = ends.map(({ name, x, value }, index) => ({
    name,
    x,
    value: from(places[index]!),
    text: write(value),
  }));
  return [{
    data: { values },
    mark: { type: "text", align: "left", baseline: "middle", dx: 5, fontSize: 11 },
    encoding: { ...axes, text: { field: "text" } },
  }];
}

/** The range of values that the axis shows. */
function extent(curves: readonly Curve[], { domain, zero }: Spec): [number, number] {
  if (Array.isArray(domain)) return domain as [number, number];
  let [low, high] = zero === true ? [0, 0] : [Infinity, -Infinity];
  for (const { value } of curves.flatMap(({ points }) => points)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Moves sorted places up until they are a gap apart, then back down from beyond the top. */
function apart(places: readonly number[], gap: number, high: number): number[] {
  const moved = [...places];
  for (let i = 1; i < moved.length; i++) moved[i] = Math.max(moved[i]!, moved[i - 1]! + gap);
  for (let i = moved.length - 1, most = high; i >= 0; i--, most = moved[i + 1]! - gap) {
    moved[i] = Math.min(moved[i]!, Math.max(most, places[0]!));
  }
  return moved;
}
