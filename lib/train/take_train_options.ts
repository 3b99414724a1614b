/** Checks a run's options before it does any work. @module */

import { requireFunction, requireInstance, requireOptions } from "../arguments.ts";
import { Device } from "../autograd/device.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { StepProfile } from "./profile.ts";
import { RunDirectory } from "../run/run_directory.ts";
import type { TrainOptions } from "./train_options.ts";

/**
 * Checks the options and copies them: a caller may change the object while the run is under way.
 *
 * @param options The options.
 * @returns A copy, whose callbacks are bound to the original.
 * @throws {TypeError} If an option has the wrong type; names the first such.
 */
export function takeTrainOptions(options: TrainOptions): TrainOptions {
  const operation = "train";
  requireOptions(operation, options, {
    device: true,
    directory: true,
    checkpoint: true,
    signal: true,
    profile: true,
    onStep: true,
    onValidation: true,
    onFlips: true,
    onSample: true,
    onNotice: true,
  });
  const { device, directory, checkpoint, signal, profile } = options;
  requireInstance(operation, "device", device, Device);
  requireInstance(operation, "directory", directory, RunDirectory);
  // Absent or null: the run does without.
  if (checkpoint != null) requireInstance(operation, "checkpoint", checkpoint, Checkpoint);
  if (profile != null) requireInstance(operation, "profile", profile, StepProfile);
  if (signal != null) requireInstance(operation, "signal", signal, AbortSignal);
  for (const event of ["onStep", "onValidation", "onFlips", "onSample", "onNotice"] as const) {
    const callback = options[event];
    if (callback !== undefined) requireFunction(operation, event, callback);
  }
  const bound = <Args extends unknown[]>(callback: ((...args: Args) => void) | undefined) => {
    return (...args: Args): void => callback?.apply(options, args);
  };
  return {
    device,
    directory,
    checkpoint: checkpoint ?? null,
    profile: profile ?? null,
    ...(signal == null ? {} : { signal }),
    onStep: bound(options.onStep),
    onValidation: bound(options.onValidation),
    onFlips: bound(options.onFlips),
    onSample: bound(options.onSample),
    onNotice: bound(options.onNotice),
  };
}
