/**
 * Means with their uncertainty: Student's t, and paired differences.
 *
 * @module
 */

/** Bounds of a confidence interval. */
export type Interval = readonly [number, number];

/** A mean over seeds. */
export interface Estimate {
  /** Number of values. */
  readonly n: number;
  /** Their mean. */
  readonly mean: number;
  /** Sample standard deviation, with n - 1; null for one value. */
  readonly deviation: number | null;
  /** Standard error of the mean; null for one value. */
  readonly standard_error: number | null;
  /** Confidence interval of the mean by Student's t; null for one value, which has none. */
  readonly interval: Interval | null;
}

/** Confidence level of every interval. */
export const CONFIDENCE = 0.95;

/**
 * Estimates a mean.
 *
 * @param values At least one finite value.
 * @param confidence Level of the interval.
 * @returns The estimate.
 * @throws {RangeError} If there is no value.
 *
 * @example
 * ```ts
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * const { mean, interval } = estimate([1, 2, 3]);
 * assertEquals(mean, 2);
 * assertAlmostEquals(interval![1], 2 + 4.30265 / Math.sqrt(3), 1e-5);
 * assertEquals(estimate([5]).interval, null);
 * ```
 */
export function estimate(values: readonly number[], confidence = CONFIDENCE): Estimate {
  const n = values.length;
  if (n === 0) throw new RangeError("Cannot estimate a mean: there are no values");
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { n, mean, deviation: null, standard_error: null, interval: null };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (n - 1));
  const standard_error = deviation / Math.sqrt(n);
  const interval = intervalOf(mean, standard_error, n - 1, confidence);
  return { n, mean, deviation, standard_error, interval };
}

/**
 * The confidence interval of an estimate by Student's t.
 *
 * @param value The estimate.
 * @param standardError Its standard error.
 * @param freedom Degrees of freedom of the error, at least 1.
 * @param confidence Level of the interval.
 * @returns The interval.
 */
export function intervalOf(
  value: number,
  standardError: number,
  freedom: number,
  confidence = CONFIDENCE,
): Interval {
  const reach = tQuantile((1 + confidence) / 2, freedom) * standardError;
  return [value - reach, value + reach];
}

/**
 * Estimates the mean of paired differences.
 *
 * @param values Values by seed.
 * @param baseline Values to subtract, by seed.
 * @returns The estimate over the seeds that both have; null if there are none.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * const relu = new Map([[0, 1.0], [1, 2.0], [2, 9.0]]), topk = new Map([[0, 1.5], [1, 2.5]]);
 * const difference = pairedDifference(relu, topk)!;
 * assertEquals([difference.n, difference.mean], [2, -0.5]);
 * ```
 */
export function pairedDifference(
  values: ReadonlyMap<number, number>,
  baseline: ReadonlyMap<number, number>,
): Estimate | null {
  const differences = [...values].flatMap(([seed, value]) => {
    const other = baseline.get(seed);
    return other === undefined ? [] : [value - other];
  });
  return differences.length === 0 ? null : estimate(differences);
}

/**
 * Quantile of Student's t distribution.
 *
 * @param p Probability, strictly between 0 and 1.
 * @param freedom Degrees of freedom, at least 1.
 * @returns The t whose cumulative probability is p.
 * @throws {RangeError} If p or the degrees of freedom are out of range.
 */
export function tQuantile(p: number, freedom: number): number {
  if (!(p > 0 && p < 1) || !(freedom >= 1)) {
    throw new RangeError(
      `Cannot compute a quantile of t: p is ${p} and there are ${freedom} degrees of freedom, ` +
        `expected p between 0 and 1 and at least 1 degree`,
    );
  }
  if (p < 0.5) return -tQuantile(1 - p, freedom);
  if (p === 0.5) return 0;
  let high = 1;
  while (tProbability(high, freedom) < p) high *= 2;
  let low = high === 1 ? 0 : high / 2;
  // Bisection until the doubles meet: some 55 rounds, whatever the shape of the tail.
  for (;;) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return middle;
    if (tProbability(middle, freedom) < p) low = middle;
    else high = middle;
  }
}

/**
 * Cumulative distribution function of Student's t.
 *
 * @param t Any number.
 * @param freedom Degrees of freedom, at least 1.
 * @returns The probability of a value of at most t.
 */
export function tProbability(t: number, freedom: number): number {
  const tail = incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
  return t < 0 ? tail : 1 - tail;
}

/**
 * Regularised incomplete beta function I_x(a, b), by its continued fraction.
 *
 * @param x Between 0 and 1.
 * @param a Above 0.
 * @param b Above 0.
 * @returns A probability, with a relative error around 1e-14.
 */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast only on this side of the mean.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const logFront = logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) +
    b * Math.log1p(-x);
  return Math.exp(logFront) * betaFraction(x, a, b) / a;
}

/** Lentz's method. */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = Number.MIN_VALUE / Number.EPSILON;
  const nonzero = (value: number): number => Math.abs(value) < tiny ? tiny : value;
  let c = 1;
  let d = 1 / nonzero(1 - (a + b) * x / (a + 1));
  let result = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    result *= c * d;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    const factor = c * d;
    result *= factor;
    if (Math.abs(factor - 1) < 1e-15) break;
  }
  return result;
}

/** Lanczos' approximation, g = 7. */
const LANCZOS = [
  0.99999999999980993,
  676.5203681218851,
  -1259.1392167224028,
  771.32342877765313,
  -176.61502916214059,
  12.507343278686905,
  -0.13857109526572012,
  9.9843695780195716e-6,
  1.5056327351493116e-7,
];

/**
 * Natural logarithm of the gamma function.
 *
 * @param x Above 0.
 * @returns ln Γ(x).
 */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1;
  const base = shifted + 7.5;
  const sum = LANCZOS.reduce(
    (total, coefficient, i) => i === 0 ? coefficient : total + coefficient / (shifted + i),
    0,
  );
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(base) - base + Math.log(sum);
}
