/**
 * What is compared: the rows of the table, and the runs behind them.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { valuesByKey } from "../config/values_by_key.ts";

/** A row of the table: a router under certain settings. */
export interface CompareRow {
  /** Its label, like `relu lambda0=1e-8`; unique. */
  readonly label: string;
  /** The router or variant, without the swept settings. */
  readonly name: string;
  /** The swept settings, like `lambda0=1e-8`; empty if there are none. */
  readonly cell: string;
  /** Instruction set that the kernels are limited to; null: the best of the machine. */
  readonly isa: string | null;
  /** Sparsity that the router is to reach; null if it has none. */
  readonly target: number | null;
  /** Which tokens are routed without a look at later ones. */
  readonly causal: "all" | "some" | "none";
  /** Label of the row that the differences are taken to; null: there is none. */
  readonly baseline: string | null;
  /** Label of the row whose executed FLOPs set the steps of this one; null: steps are as given. */
  readonly matched: string | null;
}

/** A run to be done. */
export interface PlannedRun {
  /** Label of its row. */
  readonly row: string;
  /** Its seed. */
  readonly seed: number;
  /** Its configuration, without a directory; `steps` are provisional if the row is matched. */
  readonly config: TrainConfig;
  /** Instruction set that the kernels are limited to; null: the best of the machine. */
  readonly isa: string | null;
  /** The run whose executed FLOPs set the steps of this one, or null. */
  readonly matched: PlannedRun | null;
}

/** A comparison to be done. */
export interface ComparePlan {
  /** Rows in the order of the table. */
  readonly rows: readonly CompareRow[];
  /** Seeds in order. */
  readonly seeds: readonly number[];
  /** Runs in the order in which they are to start. */
  readonly runs: readonly PlannedRun[];
}

/** A row with the configuration of each seed. */
export interface RowConfigs extends CompareRow {
  /** Configurations in the order of the seeds. */
  readonly configs: readonly TrainConfig[];
}

/**
 * Lists the runs of some rows. Seed after seed, so that a table that grows over days is even; in
 * each, the runs that others are matched to come first.
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

/** Sections and keys that change no figure of a run but its times. */
const WITHOUT_EFFECT = /^(preset|out|threads|data\.cache|(memory|checkpoint|sample|log)\..*)$/;

/**
 * Identifies a run by everything that its figures depend on. Two runs with the same identity are the
 * same run bit for bit, whatever the number of threads.
 *
 * @param config The configuration.
 * @param isa Instruction set that the kernels are limited to, or null.
 * @returns A text, the same for equal values whatever their order.
 */
export function runIdentity(config: TrainConfig, isa: string | null): string {
  const values = [...valuesByKey(config)]
    .filter(([key]) => !WITHOUT_EFFECT.test(key))
    .sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([isa, ...values]);
}
