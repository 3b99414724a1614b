/** Which cases run, and what becomes of their results. @module */

import {
  absolutePath,
  callingDirectory,
  type Flag,
  type Flags,
  parseFlags,
} from "../../cli/shared/arguments.ts";
import { flagTable } from "../../cli/shared/table.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { BenchCase } from "./case.ts";

/** Flags about a run's results, of every bench. */
export const RESULT_FLAGS = {
  output: {
    value: "FILE",
    about: "Where the results go, as JSON",
    fallback: "bench/results/<date>-<machine>.json",
  },
  compare: { value: "FILE", about: "Prints ratios to an earlier run's results" },
  help: { about: "Prints this text" } as Flag,
} satisfies Flags;

/** Flags of the kernels' bench. */
const FLAGS = {
  filter: { value: "TEXT", about: "Runs cases with TEXT in `group: name`, or matching /TEXT/" },
  full: { about: "Runs large cases as well, like REMOE_BENCH=full" } as Flag,
  ...RESULT_FLAGS,
} satisfies Flags;

/** Where results go and what they are compared with. */
export interface ResultOptions {
  /** File of the results; absent: named after date and machine. */
  readonly output?: string;
  /** Results of an earlier run. */
  readonly compare?: string;
}

/** What a run of the kernels' bench was asked for. */
export interface Selection extends ResultOptions {
  /** Only prints the help. */
  readonly help: boolean;
  /** Large cases as well. */
  readonly full: boolean;
  /** Tells whether a case runs. */
  includes(benchCase: Pick<BenchCase, "group" | "name" | "full">): boolean;
}

/**
 * Reads a command line.
 *
 * @param args The arguments, those that `deno bench` passes on after `--`.
 * @param everything What `REMOE_BENCH` holds.
 * @returns The selection.
 * @throws {ConfigError} An unknown flag, or one without its value.
 */
export function readSelection(
  args: readonly string[],
  everything: string | undefined = undefined,
): Selection {
  const given = parseFlags(args, FLAGS);
  const full = given.has("full") || everything === "full";
  const matches = matcher(given.value("filter"));
  return {
    help: given.has("help"),
    full,
    ...resultOptions((name) => given.value(name)),
    includes: ({ group, name, full: isLarge = false }) =>
      (full || !isLarge) && matches(`${group}: ${name}`),
  };
}

/**
 * Reads the flags about results.
 *
 * @param value Gives a flag's value.
 * @returns Absolute paths.
 */
export function resultOptions(
  value: (name: "output" | "compare") => string | undefined,
): ResultOptions {
  const [output, compare] = [value("output"), value("compare")];
  const base = callingDirectory();
  return {
    ...(output === undefined ? {} : { output: absolutePath(output, base) }),
    ...(compare === undefined ? {} : { compare: absolutePath(compare, base) }),
  };
}

/** How the kernels' bench is called. */
export function usage(): string {
  return `Usage: deno task bench [FLAGS], or deno bench -A -- [FLAGS]\n\n${flagTable(FLAGS)}`;
}

/** As `deno bench --filter` reads it: text, or an expression between slashes. */
function matcher(filter: string | undefined): (text: string) => boolean {
  if (filter === undefined) return () => true;
  const [, expression] = /^\/(.+)\/$/s.exec(filter) ?? [];
  if (expression === undefined) return (text) => text.includes(filter);
  const pattern = compile(expression);
  return (text) => pattern.test(text);
}

function compile(expression: string): RegExp {
  try {
    return new RegExp(expression);
  } catch (cause) {
    throw new ConfigError(`--filter /${expression}/ is no regular expression`, { cause });
  }
}
