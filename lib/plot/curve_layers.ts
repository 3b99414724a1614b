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
  /** Points averaged for each point of a smoothed curve; default: a fiftieth of the curve. */
  readonly smooth?: number;
  /** Whether the vertical axes of losses and gradients cover the warm-up, too; default false. */
  readonly whole?: boolean;
}

/** A curve with its name in the legend. */
export interface Curve {
  /** The name. */
  readonly name: string;
  /** Its points. */
  readonly points: readonly Point[];
}

/** Points of a thinned curve: more could not be told apart at a chart's width. */
const MOST_POINTS = 800;

/**
 * Draws noisy curves: the raw values faintly, the smoothed curves on top.
 *
 * @param curves The curves.
 * @param axes Position and colour channels.
 * @param options How strongly to smooth.
 * @param mark Further properties of the lines.
 * @returns Both layers; the second alone if nothing is smoothed.
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
 * Smooths curves.
 *
 * @param curves The curves.
 * @param options How strongly to smooth.
 * @returns The smoothed curves, under the same names.
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
 * Draws curves as they are.
 *
 * @param curves The curves.
 * @param axes Position and colour channels.
 * @param mark Further properties of the lines.
 * @returns One layer; none if there are no points.
 */
export function curveLayer(curves: readonly Curve[], axes: Spec, mark: Spec = {}): Spec[] {
  const values = curves.flatMap(({ name, points }) =>
    thin(points, MOST_POINTS).map(({ x, value }) => ({ name, x, value }))
  );
  if (values.length === 0) return [];
  // A line through a single point is invisible.
  const dots = curves.some(({ points }) => points.length === 1) ? { point: { filled: true } } : {};
  return [{
    data: { values },
    mark: { type: "line", strokeWidth: 2, strokeJoin: "round", ...dots, ...mark },
    encoding: axes,
  }];
}
