/**
 * Errors as a command reports them.
 *
 * @module
 */

import { systemReason } from "../../lib/system_reason.ts";

/**
 * Describes an error: by its message if the user can do something about it, with its stack if it is
 * a bug in the program.
 *
 * @param error What was thrown.
 * @returns The text.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isSystemError(error)) return `The system refused: ${systemReason(error)} (${error.message})`;
  const isBug = ["Error", "TypeError", "RangeError", "ReferenceError"].includes(error.name);
  return isBug ? error.stack ?? error.message : error.message;
}

/** A system error that no caller turned into one of the library's; its message names the path. */
function isSystemError(error: Error): boolean {
  return / \(os error \d+\)/.test(error.message);
}
