/** The table of routing figures, in Markdown. @module */

import { differenceText, markdownOf, withError } from "../../cli/compare/table.ts";
import type { CompareResults } from "../../lib/compare/results.ts";
import { visibleName } from "../../lib/visible.ts";
import type { RoutingFigure, RowEstimate } from "./routing_summary.ts";

/** The figures and how they were measured; plain JSON. */
export interface RoutingResults {
  /** Figures over seeds. */
  readonly figures: readonly RoutingFigure[];
  /** Flip rates are means over the steps after this one. */
  readonly flips_after: number;
  /** Tokens of each domain that each run's routing was observed on. */
  readonly tokens: Readonly<Record<string, number>>;
}

const NONE = "–";

/**
 * Writes the table in Markdown, with remarks on how to read it.
 *
 * @param results The figures.
 * @param comparison The comparison that trained the runs.
 * @returns The contents of `routing.md`.
 */
export function routingTable(
  results: RoutingResults,
  { rows, seeds, command }: Pick<CompareResults, "rows" | "seeds" | "command">,
): string {
  const compared = rows.filter(({ baseline }) => baseline !== null);
  const head = [
    "figure",
    ...rows.map(({ label }) => label),
    ...compared.map(({ label, baseline }) => `${label} − ${baseline}`),
  ];
  const lines = results.figures.map(({ name, paper, rows: estimates }) => [
    `${name} (${paper})`,
    ...rows.map(({ label }) => meanCell(estimates[label]!, seeds.length)),
    ...compared.map(({ label }) => differenceCell(label, estimates[label]!)),
  ]);
  return markdownOf({ head, rows: lines }, remarks(results, seeds, command));
}

function meanCell({ estimate }: RowEstimate, seeds: number): string {
  if (estimate === null) return NONE;
  const some = estimate.n < seeds ? ` (${estimate.n} of ${seeds} seeds)` : "";
  return `${withError(estimate, 4)}${some}`;
}

/** Where the baseline has no such figure, what is uncertain is the figure itself. */
function differenceCell(label: string, { estimate, difference }: RowEstimate): string {
  if (difference !== null) return differenceText(difference);
  return estimate === null ? NONE : `${label} alone: ${differenceText(estimate)}`;
}

function remarks(
  { flips_after, tokens }: RoutingResults,
  seeds: readonly number[],
  command: string,
): string[] {
  return [
    `Mean over ${seeds.length} seeds ± standard error; difference seed by seed, with its 95 % ` +
    `confidence interval by Student's t.`,
    ...(seeds.length === 1 ? ["One seed: there is neither standard error nor interval."] : []),
    `Flip rate: share of the pairs of token and expert that a step changes, mean of the measured ` +
    `steps after step ${flips_after}, by which every run had settled.`,
    `Rank correlation: of a token's experts with how often it occurs, Spearman's; below 0, rarer ` +
    `tokens have more experts. A router with as many for every token has none.`,
    `Specialisation: distance of a domain's rows from the mean of all domains, as distributions ` +
    `over experts. Distance of shares: the same of each domain's shares of tokens, as the paper ` +
    `shows them, over the target number of experts.`,
    `All but flips measured on held-out text: ${
      Object.entries(tokens)
        .map(([name, count]) => `${count.toLocaleString("en")} tokens of ${visibleName(name)}`)
        .join(", ")
    }.`,
    `Runs: ${command}`,
  ];
}
