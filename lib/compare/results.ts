/**
 * `results.json`: a comparison as plain JSON.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import type { RowSummary, RunOutcome } from "./summary.ts";

/** What is compared, and on which machine. */
export interface CompareContext {
  /** The command line. */
  readonly command: string;
  /** What the runs have in common. */
  readonly match: "steps" | "compute";
  /** The requested seeds. */
  readonly seeds: readonly number[];
  /** Facts about the machine, by name. */
  readonly machine: Readonly<Record<string, string>>;
  /** Configuration of each row's first seed; `steps` is provisional if the row is matched. */
  readonly configs: Readonly<Record<string, TrainConfig>>;
  /** Remarks on the rows. */
  readonly notices: readonly string[];
}

/** A comparison; plain JSON. */
export interface CompareResults extends CompareContext {
  /** Version of this format. */
  readonly format: 1;
  /** Numbers of finished runs and of all runs. */
  readonly finished: readonly [number, number];
  /** The table. */
  readonly rows: readonly RowSummary[];
  /** The runs behind it. */
  readonly runs: readonly RunOutcome[];
}

/**
 * Assembles the contents of `results.json`.
 *
 * @param context What is compared.
 * @param rows The table.
 * @param runs The runs.
 * @returns The comparison as plain JSON.
 */
export function compareResults(
  context: CompareContext,
  rows: readonly RowSummary[],
  runs: readonly RunOutcome[],
): CompareResults {
  const finished = runs.filter(({ result }) => result !== null).length;
  return { format: 1, ...context, finished: [finished, runs.length], rows, runs };
}
