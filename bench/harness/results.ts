/** Results and the files that hold them, for later runs to be compared with. @module */

import { dirname } from "node:path";
import { z } from "zod";
import { ConfigError } from "../../lib/errors.ts";
import { writeAtomically } from "../../lib/files.ts";
import type { BenchCase } from "./case.ts";
import type { Machine } from "./machine.ts";
import { summarize } from "./samples.ts";

/** What was measured of a case. */
export interface Times {
  /** Its samples in seconds. */
  seconds: number[];
  /** Whether the machine's peak changed while they were taken, however often that was tried. */
  disturbed: boolean;
}

/** The result of one case. */
export interface CaseResult {
  /** The operation. */
  readonly group: string;
  /** Model, operation and shapes. */
  readonly name: string;
  /** Floating-point operations per call. */
  readonly flops: number;
  /** Operations per call by the formula that papers quote, if there is one. */
  readonly formula_flops?: number | undefined;
  /** Bytes that a call must read or write at least once. */
  readonly bytes: number;
  /** Number of samples. */
  readonly samples: number;
  /** Median, shortest and longest, in seconds. */
  readonly median_s: number;
  readonly min_s: number;
  readonly max_s: number;
  /** Whether the samples are disturbed: see {@linkcode Times}. Absent if not. */
  readonly disturbed?: true | undefined;
}

/** Which command measured. */
export type BenchKind = "kernels" | "sweep" | "paper";

/** The results of a run. */
export interface BenchResults {
  /** Version of the file format. */
  readonly format: 1;
  /** Which command measured. */
  readonly kind: BenchKind;
  /** The time of the run, in UTC. */
  readonly date: string;
  /** The checked-out commit; null if git did not tell. */
  readonly commit: string | null;
  /** The machine it ran on. */
  readonly machine: Machine;
  /** The software's versions. */
  readonly versions: Readonly<Record<string, string>>;
  /** Every case with at least one sample. */
  readonly cases: readonly CaseResult[];
}

const positive = z.number().positive();
const count = z.number().nonnegative();

const SCHEMA = z.strictObject({
  format: z.literal(1),
  kind: z.enum(["kernels", "sweep", "paper"]),
  date: z.iso.datetime(),
  commit: z.string().nullable(),
  machine: z.strictObject({
    name: z.string(),
    backend: z.string(),
    isa: z.string(),
    threads: positive,
    gemm: z.string(),
    memory_bytes: count,
    os: z.string(),
    load_average: count,
    peak_gflops: positive,
    copy_gigabytes_per_second: positive,
  }),
  versions: z.record(z.string(), z.string()),
  cases: z.array(z.strictObject({
    group: z.string(),
    name: z.string(),
    flops: count,
    formula_flops: count.optional(),
    bytes: count,
    samples: positive,
    median_s: positive,
    min_s: positive,
    max_s: positive,
    disturbed: z.literal(true).optional(),
  })),
});

/**
 * Combines a case and its samples.
 *
 * @param benchCase The case.
 * @param times Its samples, at least one.
 * @param formulaFlops Operations by the formula, if there is one.
 * @returns The result.
 */
export function caseResult(
  { group, name, flops, bytes }: Omit<BenchCase, "prepare">,
  { seconds, disturbed }: Readonly<Times>,
  formulaFlops?: number,
): CaseResult {
  const { count: samples, median, min, max } = summarize(seconds);
  return {
    group,
    name,
    flops,
    ...(formulaFlops === undefined ? {} : { formula_flops: formulaFlops }),
    bytes,
    samples,
    median_s: median,
    min_s: min,
    max_s: max,
    ...(disturbed ? { disturbed } : {}),
  };
}

/**
 * Parses results.
 *
 * @param text The contents of a file that {@linkcode writeResults} wrote.
 * @param source Its path, for errors.
 * @returns The results.
 * @throws {ConfigError} If the text is malformed; names the first wrong entry.
 */
export function parseResults(text: string, source: string): BenchResults {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`Cannot read the results in ${source}: it is not JSON`, { cause });
  }
  const { success, data, error } = SCHEMA.safeParse(json);
  if (success) return data;
  const { path, message } = error.issues[0]!;
  throw new ConfigError(
    `Cannot read the results in ${source}: ${path.join(".") || "the file"}: ${message}`,
  );
}

/**
 * Reads a file of results.
 *
 * @param path The file.
 * @returns The results.
 * @throws {ConfigError} If the file cannot be opened, or is malformed.
 */
export function readResults(path: string): BenchResults {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (cause) {
    throw new ConfigError(`Cannot read the results in ${path}: the file cannot be opened`, {
      cause,
    });
  }
  return parseResults(text, path);
}

/**
 * Writes results, creating the folder if it is missing.
 *
 * @param path The file; an existing one is replaced atomically.
 * @param results The results.
 */
export function writeResults(path: string, results: BenchResults): void {
  Deno.mkdirSync(dirname(path), { recursive: true });
  writeAtomically(path, `${JSON.stringify(results, null, 2)}\n`);
}
