/** The error for logits that no token can be drawn from. @module */

/**
 * No token can be drawn from a model's logits: its weights are damaged, or its activations overflow
 * fp32.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { drawToken, LogitsError } from "@remoe/remoe/generate";
 *
 * assertThrows(() => drawToken(Float32Array.of(0, NaN), 0.5), LogitsError, "token 1 is NaN");
 * ```
 */
export class LogitsError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "LogitsError";

  /**
   * Creates the error.
   *
   * @param message The offending logit and where it came from.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
