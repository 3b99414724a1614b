/**
 * The flags of `analyze`.
 *
 * @module
 */

import { absolutePath, type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";
import { deviceOf, oneRun } from "../shared/model_flags.ts";
import { absoluteTextPath } from "../shared/text_paths.ts";

/** The flags of `analyze`, in the order of the help. */
export const ANALYZE_FLAGS = {
  data: {
    value: "PATH",
    repeat: true,
    about: "Text to measure on: a file (.txt or .jsonl, also .gz), folder or 'pattern', or " +
      "domain=PATH; may be repeated",
    fallback: "the run's held-out text",
  },
  text: {
    value: "FILE",
    about: "Text to show with the experts of each token",
    fallback: "the start of each domain",
  },
  out: { value: "DIR", about: "Folder for page, charts and figures", fallback: "RUN/analysis" },
  tokens: {
    value: "N",
    whole: { least: 1 },
    about: "Tokens to measure on, divided equally among the domains",
    fallback: "100000",
  },
  top: {
    value: "N",
    whole: { least: 1 },
    about: "Token ids to list for each expert",
    fallback: "12",
  },
  least: {
    value: "N",
    whole: { least: 1 },
    about: "Occurrences that a token id needs to be listed and correlated",
    fallback: "10",
  },
  device: { value: "auto|cpu|cuda", about: "The device to run on", fallback: "auto" },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `analyze` asks for. */
export interface AnalyzeRequest {
  /** The run or checkpoint, absolute. */
  readonly run: string;
  /** Texts to measure on; empty for the run's held-out text. */
  readonly data: readonly string[];
  /** File to show, as given; undefined for the start of each domain. */
  readonly text: string | undefined;
  /** Folder to write to; undefined for one in the run directory. */
  readonly out: string | undefined;
  /** Tokens to measure on. */
  readonly tokens: number;
  /** Token ids to list per expert. */
  readonly top: number;
  /** Occurrences that an id needs. */
  readonly least: number;
  /** The device to run on. */
  readonly device: "auto" | "cpu" | "cuda";
}

/**
 * Parses the flags of `analyze`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseAnalyzeFlags(args: readonly string[]): Arguments<typeof ANALYZE_FLAGS> {
  return parseFlags(args, ANALYZE_FLAGS, { operands: true });
}

/**
 * Checks what was given.
 *
 * @param given What {@linkcode parseAnalyzeFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The request.
 * @throws {ConfigError} If there is not exactly one run, or a value cannot be used.
 */
export function analyzeRequest(
  given: Arguments<typeof ANALYZE_FLAGS>,
  base: string,
): AnalyzeRequest {
  const run = oneRun(given.operands, "analyze", base);
  const device = deviceOf(given);
  const out = given.value("out");
  return {
    run,
    data: given.values("data").map((entry) => absoluteTextPath(entry, base)),
    text: given.value("text"),
    out: out === undefined ? undefined : absolutePath(out, base),
    tokens: given.whole("tokens") ?? 100_000,
    top: given.whole("top") ?? 12,
    least: given.whole("least") ?? 10,
    device,
  };
}
