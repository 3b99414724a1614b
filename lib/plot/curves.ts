/**
 * Prepares curves for drawing: smooths them, and thins them to what the eye can tell apart.
 *
 * @module
 */

import type { Point } from "./run_figures.ts";

/**
 * Smooths a curve with a centred moving average. Near the start, where a loss is steep, the window
 * shrinks on both sides, lest later points pull the curve down. Near the end it shrinks only on the
 * right: there it matters more to average out the noise.
 *
 * @param points The curve; non-finite points are dropped.
 * @param width Points in the window; 1 leaves the curve as it is.
 * @returns The smoothed curve.
 */
export function smooth(points: readonly Point[], width: number): Point[] {
  const finite = points.filter(({ value }) => Number.isFinite(value));
  const reach = Math.floor(width / 2);
  if (reach < 1) return finite;
  const sums = new Float64Array(finite.length + 1);
  for (const [index, { value }] of finite.entries()) sums[index + 1] = sums[index]! + value;
  return finite.map(({ x }, index) => {
    const side = Math.min(reach, index);
    const [from, to] = [index - side, Math.min(index + side + 1, finite.length)];
    return { x, value: (sums[to]! - sums[from]!) / (to - from) };
  });
}

/**
 * Thins a curve to the minimum and maximum of each stretch of points, so that peaks survive. The
 * first and the last point are always kept.
 *
 * @param points The curve; non-finite points are dropped.
 * @param most About how many points to keep.
 * @returns The curve, in order.
 */
export function thin(points: readonly Point[], most: number): Point[] {
  const finite = points.filter(({ value }) => Number.isFinite(value));
  if (finite.length <= most) return finite;
  const size = finite.length / Math.max(1, Math.floor(most / 2));
  const kept: Point[] = [finite[0]!];
  for (let start = 0; start < finite.length; start += size) {
    const stretch = finite.slice(Math.floor(start), Math.floor(start + size));
    if (stretch.length === 0) continue;
    const by = (better: (a: number, b: number) => boolean): Point =>
      stretch.reduce((best, point) => better(point.value, best.value) ? point : best);
    const ends = [by((a, b) => a < b), by((a, b) => a > b)].sort((a, b) => a.x - b.x);
    kept.push(...ends);
  }
  kept.push(finite.at(-1)!);
  return kept.filter((point, index) => point !== kept[index - 1]);
}
