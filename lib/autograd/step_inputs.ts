/** What an optimizer step gets from the host. @module */

import { requireOptions, requireWhole } from "../arguments.ts";
import { requireNumbers } from "../settings.ts";

/** Inputs of an optimizer step from the host. */
export interface StepInputs {
  /** Learning rate of this step. */
  readonly learningRate: number;
  /** `1 - beta1^step`. */
  readonly biasCorrection1: number;
  /** `1 - beta2^step`. */
  readonly biasCorrection2: number;
  /** Number of the step, from 1. */
  readonly step: number;
}

/** The inputs, checked and in the order of their slots. */
export function inputSlots(inputs: StepInputs): readonly number[] {
  requireOptions("write a step's inputs", inputs);
  const { learningRate, biasCorrection1, biasCorrection2, step } = inputs;
  requireNumbers("write a step's inputs", { learningRate }, { least: 0 });
  requireWhole("write a step's inputs", "step", step, { least: 1 });
  // The update divides by both.
  requireNumbers("write a step's inputs", { biasCorrection1, biasCorrection2 }, { above: 0 });
  return [learningRate, biasCorrection1, biasCorrection2, step];
}
