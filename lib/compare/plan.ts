/**
 * The plan of a comparison: the rows of its table and the runs behind them.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { valuesByKey } from "../config/values_by_key.ts";

/** A row of the table: a router with certain settings. */
export interface CompareRow {
  /** Its label, like `relu lambda0=1e-8`; unique. */
  readonly label: string;
  /** The router or variant, without the swept settings. */
  readonly name: string;
  /** The swept settings, like `lambda0=1e-8`; empty if there are none. */
  readonly cell: string;
  /** Instruction set that the kernels are limited to; null: the best of the machine. */
  readonly isa: string | null;
  /** Target sparsity of the router; null if it does not route. */
  readonly target: number | null;
  /** Which tokens are routed without looking at later ones. */
  readonly causal: "all" | "some" | "none";
  /** Label of the row that differences are relative to; null: none. */
  readonly baseline: string | null;
  /** Label of the row whose executed FLOPs set this row's steps; null: the given steps. */
  readonly matched: string | null;
}

/** A planned run. */
export interface PlannedRun {
  /** Label of its row. */
  readonly row: string;
  /** Its seed. */
  readonly seed: number;
  /** Its configuration without a directory; `steps` is provisional if the row is matched. */
  readonly config: TrainConfig;
  /** Instruction set that the kernels are limited to; null: the best of the machine. */
  readonly isa: string | null;
  /** The run whose executed FLOPs set the steps of this one, or null. */
  readonly matched: PlannedRun | null;
}

/** A planned comparison. */
export interface ComparePlan {
  /** Rows in the order of the table. */
  readonly rows: readonly CompareRow[];
  /** Seeds in order. */
  readonly seeds: readonly number[];
  /** Runs in starting order. */
  readonly runs: readonly PlannedRun[];
}

/** A row with the configuration of each seed. */
export interface RowConfigs extends CompareRow {
  /** Configurations in the order of the seeds. */
  readonly configs: readonly TrainConfig[];
}

/**
 * Lists the runs of all rows, seed by seed, so that a table that grows over days grows evenly.
 * Within a seed, the runs that others are matched to come first.
 *
 * @param rows The rows.
 * @param seeds The seeds.
 * @returns The plan.
 */
export function comparePlan(rows: readonly RowConfigs[], seeds: readonly number[]): ComparePlan {
  const runs = seeds.flatMap((seed, index) => {
    const runOf = (row: RowConfigs, matched: PlannedRun | null): PlannedRun => ({
      row: row.label,
      seed,
      config: row.configs[index]!,
      isa: row.isa,
      matched,
    });
    const free = new Map(
      rows.filter(({ matched }) => matched === null).map((row) => [row.label, runOf(row, null)]),
    );
    const bound = rows.filter(({ matched }) => matched !== null)
      .map((row) => runOf(row, free.get(row.matched!)!));
    const references = new Set(bound.map(({ matched }) => matched!));
    const others = [...free.values()].filter((run) => !references.has(run));
    return [...references, ...others, ...bound];
  });
  return { rows: rows.map(({ configs: _, ...row }) => row), seeds, runs };
}

/** Sections and keys that change none of a run's figures except its times. */
const WITHOUT_EFFECT = /^(preset|out|threads|data\.cache|(memory|checkpoint|sample|log)\..*)$/;

/**
 * Identifies a run by everything its figures depend on. Two runs with the same identity are equal
 * bit for bit, whatever their number of threads.
 *
 * @param config The configuration.
 * @param isa Instruction set that the kernels are limited to, or null.
 * @returns A string that does not depend on the order of the keys.
 */
export function runIdentity(config: TrainConfig, isa: string | null): string {
  const values = [...valuesByKey(config)]
    .filter(([key]) => !WITHOUT_EFFECT.test(key))
    .sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([isa, ...values]);
}
