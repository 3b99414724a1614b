/** Checks of what a run works with, before it does any work. @module */

import { requireFunction, requireInstance, requireOptions } from "../arguments.ts";
import { Device } from "../autograd/device.ts";
import { Checkpoint } from "./checkpoint.ts";
import { StepProfile } from "./profile.ts";
import { RunDirectory } from "./run_directory.ts";
import type { TrainOptions } from "./train_options.ts";

/**
 * Refuses options of another kind than a run needs.
 *
 * @param options The options.
 * @throws {TypeError} Names the first that is wrong.
 */
export function requireTrainOptions(options: TrainOptions): void {
  const operation = "train";
  requireOptions(operation, options);
  const { device, directory, checkpoint, signal, profile } = options;
  requireInstance(operation, "device", device, Device);
  requireInstance(operation, "directory", directory, RunDirectory);
  // Absent or null: a run without it.
  if (checkpoint != null) requireInstance(operation, "checkpoint", checkpoint, Checkpoint);
  if (profile != null) requireInstance(operation, "profile", profile, StepProfile);
  if (signal != null) requireInstance(operation, "signal", signal, AbortSignal);
  for (const event of ["onStep", "onValidation", "onSample", "onNotice"] as const) {
    const callback = options[event];
    if (callback !== undefined) requireFunction(operation, event, callback);
  }
}
