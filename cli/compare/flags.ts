/**
 * The flags of `compare`.
 *
 * @module
 */

import { PRESET_NAMES } from "../../lib/config/presets.ts";
import { ConfigError } from "../../lib/errors.ts";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import { type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";

/** The flags of `compare`, in the order of the help. */
export const COMPARE_FLAGS = {
  routers: {
    value: "A,B,…",
    about: `Routers to compare, in the order of the table: ${ROUTER_NAMES.join(", ")}, or files`,
    fallback: "all of the library, or none with --variant",
  },
  variant: {
    value: "NAME=ROUTER:KEY=VALUE,…",
    repeat: true,
    about: "A router with its own settings; may be repeated",
  },
  seeds: {
    value: "N|A-B|A,B,…",
    about: "Number of seeds, counted from 0, or the seeds themselves",
    fallback: "3",
  },
  steps: { value: "N", whole: {}, about: "Optimizer steps of a run", fallback: "the preset's" },
  preset: { value: PRESET_NAMES.join("|"), about: "Sizes and recipe", fallback: "nano" },
  config: { value: "FILE", about: "Configuration of all runs in JSON, JSONC or YAML" },
  set: {
    value: "KEY=VALUE",
    repeat: true,
    about: "Any key of the configuration, for all runs; may be repeated",
  },
  sweep: {
    value: "KEY=V1,V2,…",
    repeat: true,
    about: "Values to try for a key; several sweeps make a grid",
  },
  data: { value: "PATH", repeat: true, about: "Text to train on, as for train" },
  "validation-data": { value: "PATH", repeat: true, about: "Text to validate on, as for train" },
  weights: { value: "DOMAIN=X,…", repeat: true, about: "How often domains are drawn" },
  match: {
    value: "steps|compute",
    about: "What is equal among the runs; compute: relu runs first, and the others train for as " +
      "many steps as its executed FLOPs pay for",
    fallback: "steps",
  },
  baseline: {
    value: "NAME",
    about: "The row that differences are relative to",
    fallback: "topk, if it is compared",
  },
  noise: {
    value: "first|each|none",
    about: "Repeat the baseline with the next lower instruction set, as the noise floor: in the " +
      "first cell of the grid, or in each",
    fallback: "first",
  },
  jobs: {
    value: "N",
    whole: { least: 1 },
    about: "Runs at once; they share the cores",
    fallback: "one per core",
  },
  memory: { value: "GIB", about: "Memory of all jobs together", fallback: "85 % of the machine's" },
  "drop-weights": { about: "Remove the checkpoints of finished runs" },
  out: { value: "DIR", about: "Folder for runs, table and report; a comparison there resumes" },
  report: { about: "Train nothing; write table and report from the finished runs" },
  "dry-run": { about: "List the runs with an estimate of the time, and stop" },
  help: { about: "Print this help, and stop" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `compare` holds. */
export type CompareArguments = Arguments<typeof COMPARE_FLAGS>;

/**
 * Reads the flags of `compare`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} A flag is unknown, or lacks its value.
 */
export function parseCompareFlags(args: readonly string[]): CompareArguments {
  return parseFlags(args, COMPARE_FLAGS);
}

/**
 * Reads seeds.
 *
 * @param text `5` for 0 to 4, `3-5`, or `0,4,7`.
 * @returns The seeds in order.
 * @throws {ConfigError} It is none of these, or names a seed twice.
 */
export function parseSeeds(text: string): number[] {
  const fail = (): never => {
    throw new ConfigError(
      `--seeds is ${text}, expected how many (5), a range (3-5) or a list (0,4,7), each seed once`,
    );
  };
  const whole = (part: string): number => /^\d{1,15}$/.test(part) ? Number(part) : fail();
  const range = (from: number, to: number): number[] =>
    to < from || to - from >= 10_000
      ? fail()
      : Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  if (from !== undefined) return range(whole(from), whole(to!));
  const seeds = text.split(",").map(whole);
  if (seeds.length === 1) return range(0, seeds[0]! - 1);
  return new Set(seeds).size === seeds.length ? seeds : fail();
}

/**
 * Reads a flag that takes one of several words.
 *
 * @param flag The flag's name.
 * @param given The command line.
 * @param words The words, the default first.
 * @returns The word.
 * @throws {ConfigError} It is none of them.
 */
export function choiceFlag<Word extends string>(
  flag: "match" | "noise",
  given: CompareArguments,
  words: readonly [Word, ...Word[]],
): Word {
  const text = given.value(flag) ?? words[0];
  if (words.includes(text as Word)) return text as Word;
  throw new ConfigError(`--${flag} is ${text}, expected ${words.join(", ")}`);
}
