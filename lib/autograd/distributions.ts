/** What random tensors are drawn from, checked. @module */

import { type OptionNames, requireFinite, requireOptions } from "../arguments.ts";
import type { NumberRange } from "../number_range.ts";

/** Settings of random tensors. */
export interface NormalOptions {
  /** Centre of the distribution. Default 0. */
  mean?: number;
  /** Standard deviation. Default 1. */
  deviation?: number;
}

/** The names of {@linkcode NormalOptions}. */
export const NORMAL_OPTIONS: OptionNames<NormalOptions> = { mean: true, deviation: true };

/** Settings of uniform tensors. */
export interface UniformOptions {
  /** Least value. Default 0. */
  low?: number;
  /** Upper bound, never reached. Default 1. */
  high?: number;
}

/**
 * The standard deviation of initial weights unless another is given: the paper's 0.01 at its hidden
 * size of 768, and wider the narrower the model.
 */
export function initialDeviation(hidden: number): number {
  return 0.01 * Math.sqrt(768 / hidden);
}

/** Refuses what is not finite in fp32, the type kernels draw in. */
function requireFp32(operation: string, name: string, value: unknown, range?: NumberRange): void {
  requireFinite(operation, name, typeof value === "number" ? Math.fround(value) : value, range);
}

/** Mean and deviation; `usual` is the deviation where none is given. */
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

/** Both bounds. */
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
