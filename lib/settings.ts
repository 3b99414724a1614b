/**
 * Checks of the settings that something is built with. A violation is a {@linkcode ConfigError}, as
 * it is in a configuration file.
 *
 * @module
 */

import { LARGEST_SIZE, shown } from "./arguments.ts";
import { ConfigError } from "./errors.ts";
import { finiteNumber, isFiniteIn, type NumberRange } from "./number_range.ts";

/**
 * Throws unless all sizes are integers from 1 to 2³¹ - 1.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param sizes The sizes by name.
 * @throws {ConfigError} Naming the first bad size.
 */
export function requireSizes(operation: string, sizes: Readonly<Record<string, unknown>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isInteger(size) && (size as number) >= 1 && (size as number) <= LARGEST_SIZE) {
      continue;
    }
    throw new ConfigError(
      `Cannot ${operation}: ${name} is ${shown(size)}, expected a whole number from 1 to ` +
        `${LARGEST_SIZE}`,
    );
  }
}

/**
 * Throws unless all settings are finite numbers in a range. Kernels compute in fp32, where 1e-60 is
 * 0 and 1e300 is infinite, so the rounded value must lie in the range as well.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param numbers The settings by name.
 * @param range Bounds of each. Default none.
 * @throws {ConfigError} Naming the first bad setting.
 */
export function requireNumbers(
  operation: string,
  numbers: Readonly<Record<string, unknown>>,
  range: NumberRange = {},
): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (isFiniteIn(value, range) && isFiniteIn(Math.fround(value), range)) continue;
    throw new ConfigError(
      `Cannot ${operation}: ${name} is ${shown(value)}, expected ${finiteNumber(range)} in fp32`,
    );
  }
}
