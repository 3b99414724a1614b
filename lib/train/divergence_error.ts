/** The error of a run whose numbers have left the finite. @module */

/** The loss or the gradient became infinite or not a number. */
export class DivergenceError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "DivergenceError";
  /** The step that failed, counted from 1; the weights are those of the step before. */
  readonly step: number;

  /**
   * Creates the error.
   *
   * @param message What is not finite, at which step, and what to do.
   * @param step The step.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, step: number, options?: ErrorOptions) {
    super(message, options);
    this.step = step;
  }
}
