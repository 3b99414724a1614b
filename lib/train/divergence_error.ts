/** The error of a run that diverges. @module */

import { requireOptions, requireText, requireWhole } from "../arguments.ts";

/** What a {@linkcode DivergenceError} carries besides its message. */
export interface DivergenceErrorOptions extends ErrorOptions {
  /** The step that failed, counted from 1. */
  readonly step: number;
  /** The first tensor that is not finite, in words. */
  readonly tensor: string;
}

/** The loss, the gradient or a weight became infinite or not a number. */
export class DivergenceError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "DivergenceError";
  /** The step that failed, counted from 1. */
  readonly step: number;
  /**
   * The first tensor that is not finite, in the order in which a step computes them, like
   * `the output of experts in model.layers.1.block_sparse_moe.experts`.
   */
  readonly tensor: string;

  /**
   * Creates the error.
   *
   * @param message What is not finite, at which step, and what to do.
   * @param options The step, the tensor, and the underlying error as `cause`.
   * @throws {TypeError} If `options` is not an object, or its tensor not a text.
   * @throws {RangeError} If the step is not a whole number.
   */
  constructor(message: string, options: DivergenceErrorOptions) {
    requireOptions("report a divergence", options);
    requireWhole("report a divergence", "step", options.step);
    requireText("report a divergence", "tensor", options.tensor);
    super(message, options);
    this.step = options.step;
    this.tensor = options.tensor;
  }
}
