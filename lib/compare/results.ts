/**
 * `results.json`: a comparison as plain JSON.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import type { RowSummary, RunOutcome } from "./summary.ts";

/** What is compared, and on what. */
export interface CompareContext {
  /** The command line. */
  readonly command: string;
  /** What the runs have in common. */
  readonly match: "steps" | "compute";
  /** Seeds asked for. */
  readonly seeds: readonly number[];
  /** Facts of the machine by name. */
  readonly machine: Readonly<Record<string, string>>;
  /** Configuration of the first seed by row; steps are provisional if the row is matched. */
  readonly configs: Readonly<Record<string, TrainConfig>>;
  /** Remarks on the rows. */
  readonly notices: readonly string[];
}

/** A comparison; plain JSON. */
export interface CompareResults extends CompareContext {
  /** Version of this shape. */
  readonly format: 1;
  /** Runs that are finished, and all runs. */
  readonly finished: readonly [number, number];
  /** The table. */
  readonly rows: readonly RowSummary[];
  /** The runs behind it. */
  readonly runs: readonly RunOutcome[];
}

/**
 * Puts a comparison together.
 *
 * @param context What is compared.
 * @param rows The table.
 * @param runs The runs.
 * @returns The contents of `results.json`.
 */
export function compareResults(
  context: CompareContext,
  rows: readonly RowSummary[],
  runs: readonly RunOutcome[],
): CompareResults {
  const finished = runs.filter(({ result }) => result !== null).length;
  return { format: 1, ...context, finished: [finished, runs.length], rows, runs };
}
