/**
 * The learning-rate schedule.
 *
 * @module
 */

import { requireFinite, requireOptions, requireWhole } from "../arguments.ts";

/** What the learning rate depends on besides the step. */
export interface ScheduleOptions {
  /** Peak learning rate. */
  readonly lr: number;
  /** Steps of linear warmup from 0. */
  readonly warmup: number;
  /** Steps of the whole run. */
  readonly steps: number;
  /** Learning rate of the last step as a fraction of the peak. */
  readonly final_ratio: number;
}

/**
 * Linear warmup from 0, then a half cosine down to `final_ratio` of the peak. It is a pure function
 * of the step, so a resumed run needs no state for it.
 *
 * @param step The step about to be taken, counted from 1: step `warmup` has the peak rate, step
 * `steps` and any later one the final rate.
 * @param options The curve.
 * @returns The learning rate.
 * @throws {TypeError} If the options are not an object.
 * @throws {RangeError} If a number of steps is not a whole number, or a rate is not finite.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { learningRate } from "@remoe/remoe/train";
 *
 * const options = { lr: 1e-3, warmup: 10, steps: 110, final_ratio: 0.1 };
 * assertEquals(learningRate(5, options), 5e-4);
 * assertEquals(learningRate(10, options), 1e-3);
 * assertEquals(learningRate(110, options), 1e-4);
 * ```
 */
export function learningRate(step: number, options: ScheduleOptions): number {
  const operation = "schedule the learning rate";
  requireOptions(operation, options);
  const { lr, warmup, steps, final_ratio } = options;
  for (const [name, value] of Object.entries({ step, warmup, steps })) {
    requireWhole(operation, name, value);
  }
  for (const [name, value] of Object.entries({ lr, final_ratio })) {
    requireFinite(operation, name, value);
  }
  if (step < warmup) return (lr * step) / warmup;
  const progress = steps > warmup ? Math.min(1, (step - warmup) / (steps - warmup)) : 0;
  const cosine = (1 + Math.cos(Math.PI * progress)) / 2;
  return lr * (final_ratio + (1 - final_ratio) * cosine);
}
