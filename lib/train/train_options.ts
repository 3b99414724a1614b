/**
 * A run's options, callbacks and summary.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { FlipMetrics, StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import type { RunDirectory } from "../run/run_directory.ts";
import type { StepProfile } from "./profile.ts";
import type { Sample } from "../run/samples.ts";
import type { StageState } from "../checkpoint/stage.ts";

/**
 * A run's callbacks. They are called between steps; their time does not count as a step's.
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
 *   onFlips: ({ step, flip_rate }) => console.log(step, flip_rate),
 *   onSample: ({ text }) => console.log(text),
 *   onNotice: (text) => console.warn(text),
 * };
 * events.onStep?.({ loss: 3 } as Parameters<NonNullable<TrainEvents["onStep"]>>[0]);
 * assert(losses[0] === 3);
 * ```
 */
export interface TrainEvents {
  /**
   * Called after each step.
   *
   * @param metrics The step's metrics.
   */
  onStep?(metrics: StepMetrics): void;
  /**
   * Called after each validation.
   *
   * @param metrics The validation's metrics.
   */
  onValidation?(metrics: ValidationMetrics): void;
  /**
   * Called after each step whose flips were measured.
   *
   * @param metrics The flips.
   */
  onFlips?(metrics: FlipMetrics): void;
  /**
   * Called after each sample.
   *
   * @param sample The text and its step.
   */
  onSample?(sample: Sample): void;
  /**
   * Called with what a person should know: a stage reached, a checkpoint written, a warning.
   *
   * @param text A sentence or two.
   */
  onNotice?(text: string): void;
}

/** What a run needs besides its configuration. */
export interface TrainOptions extends TrainEvents {
  /** The open device. */
  readonly device: Device;
  /** The open run directory. */
  readonly directory: RunDirectory;
  /** The checkpoint to resume from; absent or null: a new run. */
  readonly checkpoint?: Checkpoint | null;
  /** Ends the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Profiles the steps; the caller disposes of it. */
  readonly profile?: StepProfile | null;
}

/** The final figures of a run. */
export interface TrainSummary {
  /** Optimizer steps taken, including those before a resume. */
  readonly step: number;
  /** Whether the signal ended the run before its last step. */
  readonly interrupted: boolean;
  /** Tokens seen. */
  readonly tokens: number;
  /** Seconds since this process began training. */
  readonly seconds: number;
  /** Tokens per second of step time, in this process. */
  readonly tokens_per_second: number;
  /** The last step's metrics; null if this process took none. */
  readonly last: StepMetrics | null;
  /** The last validation; null if there was none. */
  readonly validation: ValidationMetrics | null;
  /** The last sample; null if there was none. */
  readonly sample: Sample | null;
  /** The run's stage. */
  readonly stage: StageState;
  /** The last checkpoint's folder; null if none was written. */
  readonly checkpoint: string | null;
  /** Peak device memory in bytes. */
  readonly peak_bytes: number;
}
