/**
 * The figures of an analysis in a few lines.
 *
 * @module
 */

import { largest, smallest } from "../../lib/extremes.ts";
import { routerLabel } from "../../lib/moe/router_of.ts";
import { formatCount } from "../shared/format.ts";
import type { Analysis, AnalyzedModel } from "./analysis.ts";

/**
 * Lists the figures with their names.
 *
 * @param analysis The results.
 * @param model The model.
 * @returns Pairs of name and text.
 */
export function summaryRows(
  { load, sparsity, frequency, domains }: Analysis,
  { config: { moe }, step }: AnalyzedModel,
): [string, string][] {
  const ratios = load.share_of_tokens.flat().map((share) => share / load.fair_share);
  const parts = moe.granularity > 1 ? `, each in ${moe.granularity} parts` : "";
  const shared = moe.shared > 0 ? `, ${moe.shared} shared` : "";
  const correlation = frequency.rank_correlation;
  return [
    [
      "Router",
      `${routerLabel(moe.router)}, ${moe.active} of ${moe.experts} experts${parts}${shared}`,
    ],
    ["Step", step.toLocaleString("en")],
    ["Tokens", formatCount(load.tokens)],
    [
      "Sparsity",
      `${sparsity.sparsity.toFixed(4)} for a target of ${sparsity.target.toFixed(4)}, layers ` +
      range(sparsity.sparsity_per_layer, 3),
    ],
    ["No expert", `${range(sparsity.without_expert_per_layer, 3)} of a layer's tokens`],
    ["Load", `${range(ratios, 2)} times the fair share`],
    ...(correlation === null ? [] : [[
      "Frequency",
      `rank correlation of experts with occurrences ${correlation.toFixed(2)}`,
    ] as [string, string]]),
    ...(domains === null ? [] : [[
      "Domains",
      `specialisation of layers ${range(domains.specialisation_per_layer, 2)}`,
    ] as [string, string]]),
  ];
}

/**
 * Formats the figures for a terminal.
 *
 * @param analysis The results.
 * @param model The model.
 * @returns The lines.
 */
export function summaryLines(analysis: Analysis, model: AnalyzedModel): string[] {
  return summaryRows(analysis, model).map(([name, text]) => `${name.padEnd(12)}${text}`);
}

function range(values: readonly number[], digits: number): string {
  const [from, to] = [smallest(values).toFixed(digits), largest(values).toFixed(digits)];
  return from === to ? from : `${from} to ${to}`;
}
