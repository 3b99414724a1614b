/** Whether a memory pool holds more than a run needs. @module */

import type { DeviceStatistics } from "../autograd/device_options.ts";

/** How many times a step's peak the memory pool may hold, beyond a slack. */
const MOST_HELD = 1.5;

/** Small pools hold more than they need, in whole segments. */
const SLACK = 2 ** 28;

/**
 * Whether a device's pool holds far more than the last step used: blocks of sizes that the routing
 * no longer asks for. Returning them costs a step's allocations, so it is not done for less.
 *
 * @param statistics The device's, with the peak of the last step.
 * @returns True if the pool should be trimmed.
 */
export function holdsTooMuch({ held, peak }: Pick<DeviceStatistics, "held" | "peak">): boolean {
  return held > MOST_HELD * peak + SLACK;
}
