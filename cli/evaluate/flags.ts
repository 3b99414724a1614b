/**
 * The flags of `evaluate`.
 *
 * @module
 */

import { TASK_NAMES, type TaskName, taskNames } from "../../lib/evaluate/tasks/tasks.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { absolutePath, type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";
import { deviceOf, dtypeOf } from "../shared/model_flags.ts";
import { absoluteTextPath } from "../shared/text_paths.ts";

/** The flags of `evaluate`, in the order of the help. */
export const EVALUATE_FLAGS = {
  tasks: {
    value: "NAMES",
    repeat: true,
    about: `Zero-shot tasks, with commas between: ${TASK_NAMES.join(", ")}, or all; needs ` +
      "--eval-data",
  },
  "eval-data": {
    value: "DIR",
    about: "Folder with the tasks' items, NAME.jsonl or NAME.jsonl.gz, with the fields that " +
      "lm-evaluation-harness reads",
  },
  data: {
    value: "PATH",
    repeat: true,
    about: "Text to measure on: a file (.txt or .jsonl, also .gz), folder or 'pattern', or " +
      "domain=PATH; may be repeated",
    fallback: "the run's held-out text, unless there are --tasks",
  },
  step: {
    value: "N",
    whole: { least: 0 },
    about: "The checkpoint to evaluate",
    fallback: "the newest",
  },
  limit: {
    value: "N",
    whole: { least: 1 },
    about: "Take the first N items of each task, and documents of each domain",
    fallback: "all",
  },
  "max-length": {
    value: "N",
    whole: { least: 1, most: 2 ** 24 },
    about: "Most tokens that the model reads at a time; what comes before them is cut off",
    fallback: "data.sequence",
  },
  bos: {
    about: "Put an end-of-document token before each context, as documents have in training; " +
      "lm-evaluation-harness does not",
  },
  batch: {
    value: "TOKENS",
    whole: { least: 1, most: 2 ** 24 },
    about: "Tokens per batch: more take more memory",
    fallback: "2048",
  },
  output: {
    value: "FILE",
    about: "Where to write the results of a single run, as JSON in the form of " +
      "lm-evaluation-harness",
    fallback: "RUN/evaluation/results_DATE.json",
  },
  "log-samples": {
    about: "Write the log-likelihoods of every item beside the results, samples_NAME_….jsonl",
  },
  device: { value: "auto|cpu|cuda", about: "The device to run on", fallback: "auto" },
  dtype: { value: "f32|bf16", about: "The type to compute in", fallback: "the run's" },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `evaluate` asks for. */
export interface EvaluateRequest {
  /** The runs or checkpoints, absolute; the first is what the others are compared with. */
  readonly runs: readonly string[];
  /** The tasks. */
  readonly tasks: readonly TaskName[];
  /** The folder with their items, absolute; undefined without tasks. */
  readonly evalData: string | undefined;
  /** Texts to measure on; empty for the run's held-out text, or for none if there are tasks. */
  readonly data: readonly string[];
  /** The checkpoint's step; undefined for the newest, or the one that a path names. */
  readonly step: number | undefined;
  /** Items per task and documents per domain; undefined for all. */
  readonly limit: number | undefined;
  /** Most tokens that the model reads at a time; undefined for the run's. */
  readonly maxLength: number | undefined;
  /** Whether an end-of-document token precedes each context. */
  readonly bos: boolean;
  /** Tokens per batch. */
  readonly batch: number;
  /** The file to write, absolute; undefined for one in the run directory. */
  readonly output: string | undefined;
  /** Whether to write the scores of items. */
  readonly logSamples: boolean;
  /** The device to run on. */
  readonly device: "auto" | "cpu" | "cuda";
  /** The type to compute in; undefined for the run's. */
  readonly dtype: Real | undefined;
}

/**
 * Parses the flags of `evaluate`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseEvaluateFlags(args: readonly string[]): Arguments<typeof EVALUATE_FLAGS> {
  return parseFlags(args, EVALUATE_FLAGS, { operands: true });
}

/**
 * Checks what was given.
 *
 * @param given What {@linkcode parseEvaluateFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The request.
 * @throws {ConfigError} If there is no run, or a value cannot be used.
 */
export function evaluateRequest(
  given: Arguments<typeof EVALUATE_FLAGS>,
  base: string,
): EvaluateRequest {
  const path = (name: "eval-data" | "output"): string | undefined => {
    const value = given.value(name);
    return value === undefined ? undefined : absolutePath(value, base);
  };
  const runs = runsOf(given.operands, base);
  const tasks = taskNames(given.values("tasks").flatMap((list) => list.split(",")));
  requireTogether(given, tasks);
  const step = given.whole("step");
  const checkpoint = runs.find((run) => /\/checkpoints\/step-\d+$/.test(run));
  if (step !== undefined && checkpoint !== undefined) {
    throw new ConfigError(
      `--step is ${step}, but ${checkpoint} is a checkpoint already; give the run`,
    );
  }
  const output = path("output");
  if (output !== undefined && runs.length > 1) {
    throw new ConfigError(
      `--output names one file, but there are ${runs.length} runs; without it each run keeps its own`,
    );
  }
  return {
    ...{ runs, tasks, step, output },
    evalData: path("eval-data"),
    data: given.values("data").map((entry) => absoluteTextPath(entry, base)),
    limit: given.whole("limit"),
    maxLength: given.whole("max-length"),
    bos: given.has("bos"),
    batch: given.whole("batch") ?? 2048,
    logSamples: given.has("log-samples"),
    device: deviceOf(given),
    dtype: dtypeOf(given),
  };
}

function runsOf(operands: readonly string[], base: string): string[] {
  if (operands.length === 0) throw new ConfigError("Which run? Give its directory; see --help");
  return operands.map((run) => absolutePath(run, base).replace(/(?<=.)\/+$/, ""));
}

/** Flags that only make sense with others. */
function requireTogether(
  given: Arguments<typeof EVALUATE_FLAGS>,
  tasks: readonly TaskName[],
): void {
  if (tasks.length > 0 && !given.has("eval-data")) {
    throw new ConfigError("--tasks needs --eval-data DIR, the folder with the tasks' items");
  }
  for (const name of ["eval-data", "bos", "log-samples"] as const) {
    if (tasks.length > 0 || !given.has(name)) continue;
    throw new ConfigError(`--${name} has no effect without --tasks`);
  }
}
