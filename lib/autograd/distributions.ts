/** Distributions of random tensors, and checks of their parameters. @module */

import { type OptionNames, requireFinite, requireOptions } from "../arguments.ts";
import type { NumberRange } from "../number_range.ts";

/** Settings of normally distributed tensors. */
export interface NormalOptions {
  /** Mean. Default 0. */
  mean?: number;
  /** Standard deviation. Default 1. */
  deviation?: number;
}

/** The names of {@linkcode NormalOptions}. */
export const NORMAL_OPTIONS: OptionNames<NormalOptions> = { mean: true, deviation: true };

/** Settings of uniformly distributed tensors. */
export interface UniformOptions {
  /** Inclusive lower bound. Default 0. */
  low?: number;
  /** Exclusive upper bound. Default 1. */
  high?: number;
}

/**
 * Default standard deviation of initial weights: the paper's 0.01 at its hidden size of 768, scaled
 * by 1/√hidden for other sizes.
 */
export function initialDeviation(hidden: number): number {
  return 0.01 * Math.sqrt(768 / hidden);
}

/** Throws unless a value is finite in fp32, the type kernels draw in. */
function requireFp32(operation: string, name: string, value: unknown, range?: NumberRange): void {
  requireFinite(operation, name, typeof value === "number" ? Math.fround(value) : value, range);
}

/** Checks normal options; `usual` is the default deviation. */
export function normalOf(
  operation: string,
  options: NormalOptions,
  usual: number,
  names: OptionNames<NormalOptions> = NORMAL_OPTIONS,
): Required<NormalOptions> {
  requireOptions(operation, options, names);
  const { mean = 0, deviation = usual } = options;
  requireFp32(operation, "mean", mean);
  requireFp32(operation, "deviation", deviation, { least: 0 });
  return { mean, deviation };
}

/** Checks uniform options. */
export function uniformOf(operation: string, options: UniformOptions): Required<UniformOptions> {
  requireOptions(operation, options, { low: true, high: true });
  const { low = 0, high = 1 } = options;
  requireFp32(operation, "low", low);
  requireFp32(operation, "high", high);
  requireFp32(operation, "high - low", high - low);
  if (low <= high) return { low, high };
  throw new RangeError(
    `Cannot ${operation} from ${low} to ${high}: low must not be above high`,
  );
}
