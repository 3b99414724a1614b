/**
 * Errors as a command tells them.
 *
 * @module
 */

import { systemReason } from "../../lib/system_reason.ts";

/**
 * The message alone of an error that a user can do something about; with the stack of one that is a
 * fault of the program.
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

/** One that came past those who know what they did with which path; its message names the path. */
function isSystemError(error: Error): boolean {
  return / \(os error \d+\)/.test(error.message);
}
