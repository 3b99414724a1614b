/** Routing figures over seeds: a mean per router, and the difference to its baseline. @module */

import { type Estimate, estimate, pairedDifference } from "../../lib/statistics.ts";
import type { CompareRow } from "../../lib/compare/plan.ts";
import { mean } from "../../lib/mean.ts";
import type { RunRouting } from "./routing_figures.ts";

/** A figure of a router. */
export interface RowEstimate {
  /** Mean over seeds; null where the figure does not exist. */
  readonly estimate: Estimate | null;
  /** Mean of the figure less the baseline's, seed by seed; null without such a pair. */
  readonly difference: Estimate | null;
}

/** A figure of all routers. */
export interface RoutingFigure {
  /** Its name. */
  readonly name: string;
  /** Where the paper shows it. */
  readonly paper: string;
  /** By label of the row. */
  readonly rows: Readonly<Record<string, RowEstimate>>;
}

/** A figure's name, its place in the paper, and its value in a run. */
type Definition = readonly [string, string, (run: RunRouting) => number | null];

/**
 * Summarizes runs by figure.
 *
 * @param rows The rows of the comparison.
 * @param runs Their runs, at least one.
 * @returns The figures, in the order of the table.
 */
export function summarizeRouting(
  rows: readonly Pick<CompareRow, "label" | "baseline">[],
  runs: readonly RunRouting[],
): RoutingFigure[] {
  return definitions(runs[0]!.specialisation_per_layer.length).map(([name, paper, figure]) => {
    const valuesOf = (label: string): Map<number, number> =>
      new Map(
        runs.filter(({ row }) => row === label).flatMap((run): [number, number][] => {
          const value = figure(run);
          return value === null ? [] : [[run.seed, value]];
        }),
      );
    const ofRow = (label: string, baseline: string | null): RowEstimate => {
      const values = valuesOf(label);
      return {
        estimate: values.size === 0 ? null : estimate([...values.values()]),
        difference: baseline === null ? null : pairedDifference(values, valuesOf(baseline)),
      };
    };
    return {
      name,
      paper,
      rows: Object.fromEntries(
        rows.map(({ label, baseline }) => [label, ofRow(label, baseline)]),
      ),
    };
  });
}

function definitions(layers: number): Definition[] {
  const perLayer = (
    name: string,
    values: (run: RunRouting) => readonly number[],
  ): Definition[] => [
    [`${name}, mean of layers`, "figure 9", (run) => mean(values(run))],
    ...Array.from({ length: layers }, (_, layer): Definition => [
      `${name}, layer ${layer}`,
      "figure 9",
      (run) => values(run)[layer]!,
    ]),
  ];
  return [
    ["flip rate, %", "figure 10", ({ flip_rate }) => 100 * flip_rate],
    ["rank correlation", "figure 7", ({ rank_correlation }) => rank_correlation],
    ...perLayer("specialisation", (run) => run.specialisation_per_layer),
    ...perLayer("distance of shares", (run) => run.share_distance_per_layer),
  ];
}
