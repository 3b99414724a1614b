/** Results as files keep them, so that a later run can be compared. @module */

import { dirname } from "node:path";
import { z } from "zod";
import { ConfigError } from "../../lib/errors.ts";
import { writeAtomically } from "../../lib/files.ts";
import type { BenchCase } from "./case.ts";
import type { Machine } from "./machine.ts";
import { summarize } from "./samples.ts";

/** What one case gave. */
export interface CaseResult {
  /** The operation. */
  readonly group: string;
  /** Model, operation and shapes. */
  readonly name: string;
  /** Floating-point operations of a call. */
  readonly flops: number;
  /** Operations of a call by the formula that papers quote, where there is one. */
  readonly formula_flops?: number | undefined;
  /** Bytes that a call must read and write at least once. */
  readonly bytes: number;
  /** Number of samples. */
  readonly samples: number;
  /** Median, shortest and longest, in seconds. */
  readonly median_s: number;
  readonly min_s: number;
  readonly max_s: number;
}

/** Which command measured. */
export type BenchKind = "kernels" | "sweep" | "paper";

/** A run of a bench. */
export interface BenchResults {
  /** Version of this form. */
  readonly format: 1;
  /** Which command measured. */
  readonly kind: BenchKind;
  /** When, in UTC. */
  readonly date: string;
  /** The commit that was checked out; null where git did not say. */
  readonly commit: string | null;
  /** Where. */
  readonly machine: Machine;
  /** With what. */
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
  })),
});

/**
 * Puts a case and its samples together.
 *
 * @param benchCase The case.
 * @param seconds Its samples, at least one.
 * @param formulaFlops Operations by the formula, where there is one.
 * @returns The result.
 */
export function caseResult(
  { group, name, flops, bytes }: Omit<BenchCase, "prepare">,
  seconds: readonly number[],
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
  };
}

/**
 * Reads results.
 *
 * @param text A file as {@linkcode writeResults} writes it.
 * @param source Its path, for errors.
 * @returns The results.
 * @throws {ConfigError} If it is not such a file; names the first entry that is wrong.
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
 * @throws {ConfigError} If there is no such file, or it holds something else.
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
 * Writes results, and the folder where it is missing.
 *
 * @param path The file; one that exists is replaced whole.
 * @param results The results.
 */
export function writeResults(path: string, results: BenchResults): void {
  Deno.mkdirSync(dirname(path), { recursive: true });
  writeAtomically(path, `${JSON.stringify(results, null, 2)}\n`);
}
