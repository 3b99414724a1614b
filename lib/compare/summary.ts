/**
 * Rows of the table: results of each router's runs, over seeds.
 *
 * @module
 */

import type { ComparePlan, CompareRow } from "./plan.ts";
import type { RoutingResult, RunResult } from "./run_result.ts";
import { type Estimate, estimate, pairedDifference } from "../statistics.ts";

/** How a run ended. */
export interface RunOutcome {
  /** Label of its row. */
  readonly row: string;
  /** Its seed. */
  readonly seed: number;
  /** Name of its folder under `runs/`; null if it has none yet. */
  readonly folder: string | null;
  /** Its result; null if it is not finished. */
  readonly result: RunResult | null;
  /** Why it failed, or null. */
  readonly failure: string | null;
}

/** A difference in validation loss. */
export interface Difference extends Estimate {
  /** Label of the row that was subtracted. */
  readonly baseline: string;
}

/** Figures of the routing over seeds; see `RoutingResult`. */
export interface RoutingSummary {
  /** Mean sparsity. */
  readonly sparsity: number;
  /** Standard deviation of the sparsity over steps, root mean square over seeds. */
  readonly sparsity_deviation: number;
  /** Mean over seeds of the largest load of an expert over the fair share; null: nothing routed. */
  readonly imbalance: number | null;
  /** Mean over seeds of the number of dead experts. */
  readonly dead_experts: number;
  /** Steps until λ held the sparsity, over the seeds that got there; null: none did. */
  readonly settled: Estimate | null;
}

/** A row of the table; plain JSON. */
export interface RowSummary extends CompareRow {
  /** Seeds that are finished. */
  readonly seeds: readonly number[];
  /** Seeds that failed, with the reason. */
  readonly failures: readonly { readonly seed: number; readonly reason: string }[];
  /** Figures; null if no seed is finished. */
  readonly figures: RowFigures | null;
}

/** Figures of a row over its finished seeds. */
export interface RowFigures {
  /** Steps. */
  readonly steps: Estimate;
  /** Validation loss, nats per token. */
  readonly valid_loss: Estimate;
  /** Validation loss in bits per byte. */
  readonly valid_bits_per_byte: Estimate;
  /** Validation loss by domain, nats per token. */
  readonly valid_loss_by_domain: Readonly<Record<string, Estimate>>;
  /** Validation loss beyond Lory's first segment; null if an earlier version trained a seed. */
  readonly valid_loss_later: Estimate | null;
  /** Validation loss less that of the baseline, over the seeds that both have finished. */
  readonly difference: Difference | null;
  /** Figures of the routing; null if the router has none. */
  readonly routing: RoutingSummary | null;
  /** Mean over seeds of the median over steps; concurrent runs slow each other down. */
  readonly tokens_per_second: number;
  /** Executed FLOPs of a run. */
  readonly flops: Estimate;
  /** Mean seconds of a run's steps. */
  readonly seconds: number;
  /** All parameters, and those that a token uses. */
  readonly parameters: RunResult["parameters"];
}

/**
 * Summarizes runs by row.
 *
 * @param plan The rows.
 * @param outcomes The runs, finished or not.
 * @returns A summary per row, in the plan's order.
 */
export function summarize(
  { rows }: Pick<ComparePlan, "rows">,
  outcomes: readonly RunOutcome[],
): RowSummary[] {
  return rows.map((row) => {
    const own = outcomes.filter((outcome) => outcome.row === row.label);
    const results = resultsOf(outcomes, row.label);
    return {
      ...row,
      seeds: [...results.keys()],
      failures: own.flatMap(({ seed, failure }) =>
        failure === null ? [] : [{ seed, reason: failure }]
      ),
      figures: results.size === 0 ? null : figuresOf(row, results, outcomes),
    };
  });
}

/**
 * Collects the finished runs of a row.
 *
 * @param outcomes Runs of all rows.
 * @param label The row.
 * @returns Results by seed.
 */
export function resultsOf(
  outcomes: readonly RunOutcome[],
  label: string,
): Map<number, RunResult> {
  return new Map(
    outcomes.flatMap(({ row, seed, result }): [number, RunResult][] =>
      row === label && result !== null ? [[seed, result]] : []
    ),
  );
}

function figuresOf(
  { baseline }: CompareRow,
  bySeed: ReadonlyMap<number, RunResult>,
  outcomes: readonly RunOutcome[],
): RowFigures {
  const results = [...bySeed.values()];
  const over = (figure: (result: RunResult) => number): Estimate => estimate(results.map(figure));
  const losses = (from: ReadonlyMap<number, RunResult>): Map<number, number> =>
    new Map([...from].map(([seed, { valid_loss }]) => [seed, valid_loss]));
  const difference = baseline === null
    ? null
    : pairedDifference(losses(bySeed), losses(resultsOf(outcomes, baseline)));
  const domains = Object.keys(results[0]!.valid_loss_by_domain);
  return {
    steps: over(({ steps }) => steps),
    valid_loss: over(({ valid_loss }) => valid_loss),
    valid_bits_per_byte: over(({ valid_bits_per_byte }) => valid_bits_per_byte),
    valid_loss_by_domain: Object.fromEntries(
      domains.map((name) => [name, over((result) => result.valid_loss_by_domain[name]!)]),
    ),
    valid_loss_later: results.every(({ valid_loss_later: loss }) => loss !== null)
      ? over(({ valid_loss_later }) => valid_loss_later!)
      : null,
    difference: difference === null ? null : { baseline: baseline!, ...difference },
    routing: routingOf(results.flatMap(({ routing }) => routing === null ? [] : [routing])),
    tokens_per_second: over(({ tokens_per_second }) => tokens_per_second).mean,
    flops: over(({ flops }) => flops),
    seconds: over(({ seconds }) => seconds).mean,
    parameters: results[0]!.parameters,
  };
}

function routingOf(results: readonly RoutingResult[]): RoutingSummary | null {
  if (results.length === 0) return null;
  const mean = (figure: (result: RoutingResult) => number): number =>
    estimate(results.map(figure)).mean;
  const imbalances = results.flatMap(({ imbalance }) => imbalance ?? []);
  const settled = results.flatMap(({ settled }) => settled === null ? [] : [settled]);
  return {
    sparsity: mean(({ sparsity }) => sparsity),
    sparsity_deviation: Math.sqrt(mean(({ sparsity_deviation }) => sparsity_deviation ** 2)),
    imbalance: imbalances.length === 0 ? null : estimate(imbalances).mean,
    dead_experts: mean(({ dead_experts }) => dead_experts),
    settled: settled.length === 0 ? null : estimate(settled),
  };
}
