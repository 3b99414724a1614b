/**
 * The flags of `plot`.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import { type Horizontal, HORIZONTALS } from "../../lib/plot/horizontal.ts";
import { absolutePath, type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";

/** The flags of `plot`, in the order of the help. */
export const PLOT_FLAGS = {
  out: { value: "DIR", about: "Folder for the charts", fallback: "plots/ in the first run" },
  from: { value: "STEP", whole: { least: 1 }, about: "First step to draw", fallback: "1" },
  to: { value: "STEP", whole: { least: 1 }, about: "Last step to draw", fallback: "the last" },
  x: { value: "AXIS", about: "Horizontal axis: step, tokens, flops or time", fallback: "step" },
  names: {
    value: "A,B",
    about: "Names of the runs in the legends, in order",
    fallback: "their folders'",
  },
  whole: { about: "Let the vertical axes of losses and gradients cover the warm-up, too" },
  smooth: {
    value: "N",
    whole: { least: 1 },
    about: "Steps averaged for each point of a smoothed curve; 1: no smoothing",
    fallback: "2 % of a run's steps",
  },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `plot` asks for. */
export interface PlotRequest {
  /** The run directories, absolute and distinct. */
  readonly runs: readonly string[];
  /** Folder for the charts. */
  readonly out: string;
  /** First step; undefined: the run's. */
  readonly from: number | undefined;
  /** Last step; undefined: the run's. */
  readonly to: number | undefined;
  /** What the horizontal axis measures. */
  readonly along: Horizontal;
  /** Names of the runs; undefined: their folders'. */
  readonly names: readonly string[] | undefined;
  /** Whether vertical axes cover the warm-up. */
  readonly whole: boolean;
  /** Steps averaged for a smoothed point; undefined: by the run's length. */
  readonly smooth: number | undefined;
}

/**
 * Parses the flags of `plot`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parsePlotFlags(args: readonly string[]): Arguments<typeof PLOT_FLAGS> {
  return parseFlags(args, PLOT_FLAGS, { operands: true });
}

/**
 * Checks what was given.
 *
 * @param given What {@linkcode parsePlotFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The request.
 * @throws {ConfigError} If no run is named, or a value cannot be used.
 */
export function plotRequest(given: Arguments<typeof PLOT_FLAGS>, base: string): PlotRequest {
  const runs = [...new Set(given.operands.map((path) => absolutePath(path, base)))];
  const [first] = runs;
  if (first === undefined) {
    throw new ConfigError("Which runs? Give their directories, like plot runs/mine; see --help");
  }
  const out = given.value("out");
  const [from, to] = [given.whole("from"), given.whole("to")];
  if (from !== undefined && to !== undefined && from > to) {
    throw new ConfigError(`--from is ${from}, expected at most --to (${to})`);
  }
  return {
    runs,
    out: out === undefined ? `${first}/plots` : absolutePath(out, base),
    from,
    to,
    along: alongOf(given.value("x") ?? "step"),
    names: namesOf(given.value("names"), runs.length),
    whole: given.has("whole"),
    smooth: given.whole("smooth"),
  };
}

function alongOf(text: string): Horizontal {
  if (Object.hasOwn(HORIZONTALS, text)) return text as Horizontal;
  throw new ConfigError(`--x is ${text}, expected ${Object.keys(HORIZONTALS).join(", ")}`);
}

function namesOf(text: string | undefined, runs: number): string[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("") || new Set(names).size !== runs || names.length !== runs) {
    throw new ConfigError(
      `--names is ${text}, expected ${runs} different names separated by commas, one per run`,
    );
  }
  return names;
}
