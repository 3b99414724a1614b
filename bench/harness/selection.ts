/** Flags: which cases run, and where their results go. @module */

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

/** Every bench's flags for its results. */
export const RESULT_FLAGS = {
  output: {
    value: "FILE",
    about: "File for the results, as JSON",
    fallback: "bench/results/<date>-<machine>.json",
  },
  compare: { value: "FILE", about: "Print ratios to an earlier run's results" },
  help: { about: "Print this help, and exit" } as Flag,
} satisfies Flags;

/** Flags of `deno task bench`. */
const FLAGS = {
  filter: { value: "TEXT", about: "Run cases with TEXT in `group: name`, or matching /TEXT/" },
  full: { about: "Run large cases as well, like REMOE_BENCH=full" } as Flag,
  ...RESULT_FLAGS,
} satisfies Flags;

/** Where results go and what they are compared with. */
export interface ResultOptions {
  /** File of the results; absent: named after date and machine. */
  readonly output?: string;
  /** Results of an earlier run. */
  readonly compare?: string;
}

/** What a command line of `deno task bench` asks for. */
export interface Selection extends ResultOptions {
  /** Whether to print the help only. */
  readonly help: boolean;
  /** Whether to run large cases as well. */
  readonly full: boolean;
  /** Tells whether to run a case. */
  includes(benchCase: Pick<BenchCase, "group" | "name" | "full">): boolean;
}

/**
 * Parses a command line.
 *
 * @param args The arguments that `deno bench` passes on after `--`.
 * @param everything The value of `REMOE_BENCH`.
 * @returns The selection.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
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
 * Reads the flags for results.
 *
 * @param value Returns a flag's value.
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

/** The help of `deno task bench`. */
export function usage(): string {
  return `Usage: deno task bench [FLAGS], or deno bench -A -- [FLAGS]\n\n${flagTable(FLAGS)}`;
}

/** Matches like `deno bench --filter`: a text, or a regular expression between slashes. */
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
    throw new ConfigError(`--filter /${expression}/ is not a regular expression`, { cause });
  }
}
