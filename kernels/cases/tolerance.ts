/**
 * How far a kernel's result may be from the reference: |actual - expected| <= atol + rtol *
 * |expected|.
 */
export interface Tolerance {
  /** Relative to the expected magnitude. */
  readonly rtol: number;
  /** The absolute floor, for results that cancel towards 0. */
  readonly atol: number;
}

/** Half the distance from 1 to the next fp32 number: the relative error of one rounding. */
export const UNIT_ROUNDOFF = 2 ** -24;

/** For results that involve no computation or no rounding: every bit counts. */
export const EXACT: Tolerance = { rtol: 0, atol: 0 };

/**
 * The tolerance of an fp32 sum. Term i of a running sum of independent terms of size `scale` is
 * rounded at magnitude sqrt(i) * scale, so the errors add up, as a random walk, to about u * scale
 * * length / sqrt(6); the worst of many outputs is about 4 times that. Kernels that sum in blocks
 * or in several lanes do better; none may do worse than 4 * u * scale * length.
 *
 * @param length Terms in the sum.
 * @param scale The standard deviation of one term.
 * @returns A tolerance that admits fp32 and nothing much coarser.
 */
export function summed(length: number, scale = 1): Tolerance {
  return { rtol: 8 * UNIT_ROUNDOFF, atol: 4 * UNIT_ROUNDOFF * scale * Math.max(length, 2) };
}

/**
 * The tolerance of a short chain of roundings.
 *
 * @param steps Roundings in a row, counting a transcendental function as 4.
 * @param scale The magnitude at which intermediate results cancel; 0 if nothing cancels.
 * @returns A relative tolerance of 2 units per step.
 */
export function rounded(steps: number, scale = 0): Tolerance {
  return { rtol: 2 * steps * UNIT_ROUNDOFF, atol: 2 * steps * UNIT_ROUNDOFF * scale + 1e-37 };
}

/**
 * Adds two tolerances: of two steps, or of two libraries being compared.
 *
 * @param a A tolerance.
 * @param b Another.
 * @returns Their sum.
 */
export function plus(a: Tolerance, b: Tolerance): Tolerance {
  return { rtol: a.rtol + b.rtol, atol: a.atol + b.atol };
}
