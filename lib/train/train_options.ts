/**
 * What a run needs, what it tells its surroundings, and what it gives at the end.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import type { RunDirectory } from "../run/run_directory.ts";
import type { StepProfile } from "./profile.ts";
import type { Sample } from "../run/samples.ts";
import type { StageState } from "../checkpoint/stage.ts";

/**
 * Callbacks of a run. They run between steps; what they do is not part of a step's time.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import type { TrainEvents } from "@remoe/remoe/train";
 *
 * const losses: number[] = [];
 * const events: TrainEvents = {
 *   onStep: ({ loss }) => losses.push(loss),
 *   onValidation: ({ step, valid_loss }) => console.log(step, valid_loss),
 *   onSample: ({ text }) => console.log(text),
 *   onNotice: (text) => console.warn(text),
 * };
 * events.onStep?.({ loss: 3 } as Parameters<NonNullable<TrainEvents["onStep"]>>[0]);
 * assert(losses[0] === 3);
 * ```
 */
export interface TrainEvents {
  /**
   * After each step.
   *
   * @param metrics The figures of the step.
   */
  onStep?(metrics: StepMetrics): void;
  /**
   * After each validation.
   *
   * @param metrics The figures of the validation.
   */
  onValidation?(metrics: ValidationMetrics): void;
  /**
   * After each sample.
   *
   * @param sample The text and its step.
   */
  onSample?(sample: Sample): void;
  /**
   * For what a person should know: a stage reached, a checkpoint written, a warning.
   *
   * @param text A sentence or two.
   */
  onNotice?(text: string): void;
}

/** What a run works with besides its configuration. */
export interface TrainOptions extends TrainEvents {
  /** The open device. */
  readonly device: Device;
  /** The open run directory. */
  readonly directory: RunDirectory;
  /** The checkpoint to go on from; absent or null: a new run. */
  readonly checkpoint?: Checkpoint | null;
  /** Ends the run after the step it is in, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Measures where the steps' time goes; the caller disposes of it. */
  readonly profile?: StepProfile | null;
}

/** The final figures of a run. */
export interface TrainSummary {
  /** Optimizer steps taken, those before a resume included. */
  readonly step: number;
  /** Whether the signal ended the run before its last step. */
  readonly interrupted: boolean;
  /** Tokens seen. */
  readonly tokens: number;
  /** Seconds since this process began to train. */
  readonly seconds: number;
  /** Tokens over the time of the steps, this process alone. */
  readonly tokens_per_second: number;
  /** The last step's figures; null where this process took none. */
  readonly last: StepMetrics | null;
  /** The last validation; null where there was none. */
  readonly validation: ValidationMetrics | null;
  /** The last sample; null where there was none. */
  readonly sample: Sample | null;
  /** Where the run is in its stages. */
  readonly stage: StageState;
  /** The last checkpoint's folder; null where none was written. */
  readonly checkpoint: string | null;
  /** Most bytes of device memory in use at once. */
  readonly peak_bytes: number;
}
