/**
 * The figures of an analysis in a few lines.
 *
 * @module
 */

import { largest, smallest } from "../../lib/extremes.ts";
import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
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
  analysis: Analysis,
  { config: { moe }, step }: AnalyzedModel,
): [string, string][] {
  const { load, frequency, domains } = analysis;
  const { merges } = routerOf(moe);
  const parts = moe.granularity > 1 ? `, each in ${moe.granularity} parts` : "";
  const shared = moe.shared > 0 ? `, ${moe.shared} shared` : "";
  const correlation = frequency.rank_correlation;
  return [
    [
      "Router",
      `${routerLabel(moe.router)}, ${merges ? "" : `${moe.active} of `}${moe.experts} ` +
      `experts${parts}${shared}`,
    ],
    ["Step", step.toLocaleString("en")],
    ["Tokens", formatCount(load.tokens)],
    ...(merges
      ? [[
        "Routing",
        `by construction, every token uses all ${moe.experts} experts of a layer, merged; the text ` +
        "on the page shows their weights",
      ] as [string, string]]
      : chosenRows(analysis)),
    ...(correlation === null ? [] : [[
      "Frequency",
      `rank correlation of experts with occurrences ${correlation.toFixed(2)}`,
    ] as [string, string]]),
    ...(domains === null || merges ? [] : [[
      "Domains",
      `specialisation of layers ${range(domains.specialisation_per_layer, 2)}`,
    ] as [string, string]]),
  ];
}

/** Figures of a router that chooses experts. */
function chosenRows({ load, sparsity }: Analysis): [string, string][] {
  const ratios = load.share_of_tokens.flat().map((share) => share / load.fair_share);
  return [
    [
      "Sparsity",
      `${sparsity.sparsity.toFixed(4)} for a target of ${sparsity.target.toFixed(4)}, layers ` +
      range(sparsity.sparsity_per_layer, 3),
    ],
    ["No expert", `${range(sparsity.without_expert_per_layer, 3)} of a layer's tokens`],
    ["Load", `${range(ratios, 2)} times the fair share`],
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
