/**
 * Errors as a command tells them.
 *
 * @module
 */

/**
 * The message alone of an error that a user can do something about; with the stack of one that is a
 * fault of the program.
 *
 * @param error What was thrown.
 * @returns The text.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isBug = ["Error", "TypeError", "RangeError", "ReferenceError"].includes(error.name);
  return isBug ? error.stack ?? error.message : error.message;
}
