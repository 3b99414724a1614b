/**
 * Numbers on command lines, read more strictly than by `Number`, which also accepts `0x10`, spaces and
 * the empty string.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";

/** The whole numbers that a flag accepts. */
export interface WholeRange {
  /** The least; absent: whatever reads the flag checks it. */
  readonly least?: number;
  /** The largest. Default 2⁵³ - 1. */
  readonly most?: number;
}

/**
 * Parses a decimal number.
 *
 * @param text The text.
 * @returns The number; undefined if the text is not one.
 */
export function decimal(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/**
 * Reads a flag that is a whole number: digits, after a sign or none. `1e3` and `5.0` are refused.
 *
 * @param flag The flag's name.
 * @param text Its value.
 * @param range The numbers that it accepts.
 * @returns The number.
 * @throws {ConfigError} If the text is not a whole number, or out of range.
 */
export function wholeNumber(flag: string, text: string, range: WholeRange = {}): number {
  const { least = -Infinity, most = Number.MAX_SAFE_INTEGER } = range;
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  const lower = range.least === undefined ? "" : ` of at least ${least}`;
  const upper = range.most === undefined ? "" : ` and at most ${most}`;
  throw new ConfigError(`--${flag} is ${text}, expected a whole number${lower}${upper}`);
}
