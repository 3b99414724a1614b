/**
 * Mean curves over seeds, with the spread of the seeds.
 *
 * @module
 */

import { largest } from "../extremes.ts";
import { mean } from "../mean.ts";
import type { RunResult } from "./run_result.ts";

/** A point of a mean curve. */
export interface BandPoint {
  /** Position on the horizontal axis: the mean over seeds. */
  readonly x: number;
  /** Mean over seeds. */
  readonly value: number;
  /** Lowest value of a seed. */
  readonly low: number;
  /** Highest value of a seed. */
  readonly high: number;
}

/** A point of one seed's curve. */
export interface SeedPoint {
  /** Matches points of different seeds. */
  readonly step: number;
  /** Position on the horizontal axis. */
  readonly x: number;
  /** The value. */
  readonly value: number;
}

/**
 * Averages curves at the steps that all of them have, and at their last points: at equal compute
 * the number of steps differs a little from seed to seed.
 *
 * @param curves A curve per seed, in order of steps.
 * @returns The mean curve; empty if there are no curves.
 */
export function bandOf(curves: readonly (readonly SeedPoint[])[]): BandPoint[] {
  const [first = [], ...others] = curves.filter((curve) => curve.length > 0);
  const inner = first.slice(0, -1).flatMap(({ step }) => {
    const points = [first, ...others].map((curve) =>
      curve.slice(0, -1).find((point) => point.step === step)
    );
    return points.includes(undefined) ? [] : [pointOf(points as SeedPoint[])];
  });
  const ends = [first, ...others].flatMap((curve) => curve.slice(-1));
  return ends.length === 0 ? [] : [...inner, pointOf(ends)];
}

/**
 * Returns the validation losses of a run as a curve.
 *
 * @param result A run.
 * @param along What the horizontal axis measures.
 * @returns The curve.
 */
export function lossCurve({ validations }: RunResult, along: "step" | "flops"): SeedPoint[] {
  return validations.map((point) => ({ step: point.step, x: point[along], value: point.loss }));
}

/**
 * Returns the sparsity of a run as a curve.
 *
 * @param result A run.
 * @returns The curve; empty if the run has no routing.
 */
export function sparsityCurve({ routing }: RunResult): SeedPoint[] {
  return (routing?.sparsity_curve ?? []).map(([step, value]) => ({ step, x: step, value }));
}

/**
 * Returns the experts' load, busiest first: mean over the layers that routed any rows, as a multiple
 * of the fair share.
 *
 * @param result A run.
 * @returns A curve along the ranks, from 1; empty if the run has no routing.
 */
export function loadCurve({ routing }: RunResult): SeedPoint[] {
  const sorted = (routing?.load ?? []).filter((shares) => largest(shares) > 0)
    .map((shares) => shares.map((share) => share * shares.length).sort((a, b) => b - a));
  const [layer = []] = sorted;
  return layer.map((_, rank) => ({
    step: rank + 1,
    x: rank + 1,
    value: sorted.reduce((sum, loads) => sum + loads[rank]!, 0) / sorted.length,
  }));
}

function pointOf(points: readonly SeedPoint[]): BandPoint {
  const values = points.map(({ value }) => value);
  return {
    x: mean(points.map(({ x }) => x)),
    value: mean(values),
    low: Math.min(...values),
    high: Math.max(...values),
  };
}
