/**
 * Curves, as layers of a Vega-Lite specification.
 *
 * @module
 */

import { smooth, thin } from "./curves.ts";
import type { Point } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

/** How curves are drawn. */
export interface DrawOptions {
  /** Points that a smooth curve takes the mean of; absent: a fiftieth of the curve. */
  readonly smooth?: number;
  /** Whether the vertical axis of losses has room for the warm-up as well; default false. */
  readonly whole?: boolean;
}

/** A curve with its name in the legend. */
export interface Curve {
  /** The name. */
  readonly name: string;
  /** Its points. */
  readonly points: readonly Point[];
}

/** Points of a thinned curve: two a pixel would not be told apart. */
const MOST_POINTS = 800;

/**
 * Curves that scatter: faint as they are, strong as they go.
 *
 * @param curves The curves.
 * @param axes Both axes and the colours.
 * @param options How strongly to smooth.
 * @param mark What else is said of the lines.
 * @returns Two layers.
 */
export function scatteredCurves(
  curves: readonly Curve[],
  axes: Spec,
  options: DrawOptions,
  mark: Spec = {},
): Spec[] {
  const isSmooth = curves.some((curve) => smoothWidth(curve, options) >= 3);
  return [
    ...(isSmooth ? curveLayer(curves, axes, { ...mark, strokeWidth: 1, opacity: 0.3 }) : []),
    ...curveLayer(smoothCurves(curves, options), axes, { ...mark, strokeWidth: 2 }),
  ];
}

/**
 * Curves as they go.
 *
 * @param curves The curves.
 * @param options How strongly to smooth.
 * @returns The same, each point the mean of those around it.
 */
export function smoothCurves(curves: readonly Curve[], options: DrawOptions): Curve[] {
  return curves.map((curve) => ({
    ...curve,
    points: smooth(curve.points, smoothWidth(curve, options)),
  }));
}

function smoothWidth({ points }: Curve, options: DrawOptions): number {
  return options.smooth ?? Math.max(1, Math.round(points.length / 50));
}

/**
 * Curves as they are.
 *
 * @param curves The curves.
 * @param axes Both axes and the colours.
 * @param mark How the line is drawn.
 * @returns A layer; none where there are no points.
 */
export function curveLayer(curves: readonly Curve[], axes: Spec, mark: Spec = {}): Spec[] {
  const values = curves.flatMap(({ name, points }) =>
    thin(points, MOST_POINTS).map(({ x, value }) => ({ name, x, value }))
  );
  if (values.length === 0) return [];
  // A line through one point is none.
  const dots = curves.some(({ points }) => points.length === 1) ? { point: { filled: true } } : {};
  return [{
    data: { values },
    mark: { type: "line", strokeWidth: 2, strokeJoin: "round", ...dots, ...mark },
    encoding: axes,
  }];
}
