/**
 * Values that the commands on a trained model share.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { absolutePath } from "./arguments.ts";

/** Command lines with the flags `--device` and `--dtype`, the second of them perhaps. */
interface Given<Name extends string> {
  value(name: Name): string | undefined;
}

/**
 * Takes the one run that a command is for.
 *
 * @param operands The arguments without a flag.
 * @param command The command's name.
 * @param base The folder that a relative path is resolved against.
 * @returns The run's path, absolute.
 * @throws {ConfigError} If there is not exactly one.
 */
export function oneRun(operands: readonly string[], command: string, base: string): string {
  const [run, ...others] = operands;
  if (run === undefined) {
    throw new ConfigError(
      `Which model? Give a run's directory, like ${command} runs/mine; see --help`,
    );
  }
  if (others.length > 0) {
    throw new ConfigError(`Cannot ${command} ${operands.length} runs at once: give one`);
  }
  return absolutePath(run, base);
}

/**
 * Reads `--device`.
 *
 * @param given The command line.
 * @returns The device; `auto` if none is given.
 * @throws {ConfigError} If it is another.
 */
export function deviceOf(given: Given<"device">): "auto" | "cpu" | "cuda" {
  return oneOf("device", given.value("device"), ["auto", "cpu", "cuda"]) ?? "auto";
}

/**
 * Reads `--dtype`.
 *
 * @param given The command line.
 * @returns The type; undefined for the run's.
 * @throws {ConfigError} If it is another.
 */
export function dtypeOf(given: Given<"dtype">): Real | undefined {
  return oneOf("dtype", given.value("dtype"), ["f32", "bf16"]);
}

function oneOf<T extends string>(
  flag: string,
  value: string | undefined,
  allowed: readonly T[],
): T | undefined {
  const found = allowed.find((each) => each === value);
  if (found !== undefined || value === undefined) return found;
  throw new ConfigError(`--${flag} is ${value}, expected one of ${allowed.join(", ")}`);
}
