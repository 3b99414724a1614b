/** Standard errors of statistics without a formula, by resampling. @module */

/** Resamples drawn, as many as the harness draws. */
const RESAMPLES = 100_000;

/**
 * Estimates the standard error of a function of a mean, from resamples of the values with
 * replacement. The same values give the same error.
 *
 * @param values The sample, at least two values.
 * @param statistic Computes the statistic from a resample's mean.
 * @param resamples How many to draw.
 * @returns The deviation of the statistic over the resamples.
 */
export function bootstrapError(
  values: readonly number[],
  statistic: (mean: number) => number,
  resamples = RESAMPLES,
): number {
  const sample = Float64Array.from(values);
  const n = sample.length;
  const scale = n * 2 ** -32;
  const results = new Float64Array(resamples);
  // Mulberry32, inline: half a billion draws for the longest task, in some seconds.
  let state = n;
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      state = (state + 0x6d2b79f5) | 0;
      let bits = Math.imul(state ^ (state >>> 15), 1 | state);
      bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
      sum += sample[Math.floor(((bits ^ (bits >>> 14)) >>> 0) * scale)]!;
    }
    results[r] = statistic(sum / n);
  }
  const mean = results.reduce((sum, value) => sum + value, 0) / resamples;
  const squares = results.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (resamples - 1));
}
