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
 * The tolerance of a sum of products in a unit that truncates, as tensor cores do, and so of any
 * product of bfloat16 operands. The contract allows length * 2^-23 * sum |terms|. Each addition
 * loses at most 2^-23 of the running sum, always towards 0, which is of size sqrt(i) * scale after
 * i terms and 4 times that in the worst of many outputs: half of the most is 2^-23 * 4/3 * scale *
 * length^1.5 on average.
 *
 * @param length Terms in the sum.
 * @param scale The standard deviation of one term.
 * @returns A tolerance of sqrt(length) times that of {@linkcode summed}.
 */
export function summedByTruncation(length: number, scale = 1): Tolerance {
  const { rtol, atol } = summed(length, scale);
  return { rtol, atol: atol * Math.sqrt(length) };
}

/**
 * The relative error of one rounding to bfloat16: half the distance from 1 to the next number. Near
 * the next power of two it is half of that.
 */
export const BF16_ROUNDOFF = 2 ** -8;

/**
 * The tolerance of an output that is rounded to bfloat16 once, on top of that of the number which is
 * rounded. It is just what rounding to nearest needs: a whole ulp would admit truncation, and what
 * the errors before the rounding move across a tie is in their own tolerance. The floor admits
 * subnormal numbers flushed to 0.
 */
export const BF16_OUTPUT: Tolerance = { rtol: BF16_ROUNDOFF, atol: 2 ** -126 };

/**
 * The standard deviation of the relative error of a rounding to bfloat16. The error is uniform
 * within BF16_ROUNDOFF / m, m in [1, 2) the mantissa; with the mantissas of numbers of many sizes,
 * whose density is 1 / (m ln 2), the mean of 1/m^2 is 3 / (8 ln 2).
 */
const BF16_DEVIATION = BF16_ROUNDOFF / Math.sqrt(8 * Math.LN2);

/** Standard deviations that the worst of some 10^7 normal errors stays within. */
const WORST = 6;

/**
 * The tolerance of operands rounded to bfloat16 inside an operation, where the reference does not
 * round: the terms of a sum get independent relative errors, whose effects add up as a random walk.
 * Where one term outweighs the rest, its errors are relative to the sum. A build that keeps the
 * operands in fp32 is within the tolerance, too.
 *
 * @param size The root of the sum of the squares of the terms.
 * @param roundings Roundings that go into each term.
 * @returns A tolerance to add to that of fp32.
 */
export function boundaries(size: number, roundings: number): Tolerance {
  return {
    rtol: BF16_ROUNDOFF * Math.sqrt(roundings),
    atol: WORST * BF16_DEVIATION * size * Math.sqrt(roundings),
  };
}

/**
 * The largest root of a sum of squares, among many sums of terms that are products of normal
 * factors. The square of such a term has the mean 1 and the variance 3^factors - 1; their sum stays
 * within some 4 standard deviations.
 *
 * @param length Terms in the sum.
 * @param scale The standard deviation of one term.
 * @param factors Normal factors of a term.
 * @returns The size for {@linkcode boundaries}.
 */
export function largestSize(length: number, scale: number, factors: number): number {
  return scale * Math.sqrt(length + 4 * Math.sqrt((3 ** factors - 1) * length));
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
