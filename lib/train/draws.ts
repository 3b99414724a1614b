/** Where the random numbers of a run's routers come from. @module */

import { type Device, memoryOf } from "../autograd/device.ts";

/** First draw of a validation: the upper half of 32 bits, beyond the draws of any step. */
export const VALIDATION_DRAWS = 2 ** 31;

/** First draw of routers after a step, beyond those of its micro-batches. */
export const AFTER_STEP_DRAWS = 2 ** 30;

/** First draw of the noise on initial weights, beyond those of the random weights themselves. */
export const NOISE_DRAWS = 2 ** 30;

/** A place in a run's random numbers. */
export interface DrawPlace {
  /** The run's seed. */
  readonly seed: number;
  /** Steps taken so far. */
  readonly steps: number;
  /** The first draw. */
  readonly draws: number;
}

/**
 * Runs something with the generator placed by the step: what routers draw depends on seed and step
 * alone, so a resumed run draws the same, and so does a repeated step.
 */
export function drawingAt<T>(device: Device, place: DrawPlace, run: () => T): T {
  const { seed, steps, draws } = place;
  return memoryOf(device).drawingFrom({ seed: BigInt(seed), step: steps + 1, draws }, run);
}
