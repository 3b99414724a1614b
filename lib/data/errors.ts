/**
 * Text that cannot be read, is not text, or is too short for its purpose.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { DataError, textFiles } from "@remoe/remoe/data";
 *
 * const documents = textFiles(["missing.txt"]).documents();
 * await assertRejects(() => Array.fromAsync(documents), DataError, "missing.txt");
 * ```
 */
export class DataError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "DataError";

  /**
   * Creates the error.
   *
   * @param message The file or text, what is wrong with it, and what to do.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
