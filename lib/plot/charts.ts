/**
 * All charts of a set of runs.
 *
 * @module
 */

import type { Chart } from "./chart.ts";
import type { DrawOptions } from "./curve_layers.ts";
import { flipChart } from "./flip_chart.ts";
import { loadChart, loadHistoryChart } from "./load_charts.ts";
import { domainChart, lossChart } from "./loss_charts.ts";
import { lambdaChart, regularizationChart, withoutExpertChart } from "./regularization_charts.ts";
import type { RunFigures } from "./run_figures.ts";
import { layerSparsityChart, sparsityChart } from "./sparsity_charts.ts";
import { optimizerChart, speedChart } from "./training_charts.ts";

/**
 * Makes the charts: first those that show all runs, then those of each run.
 *
 * @param runs At least one run.
 * @param options How to draw the curves.
 * @returns The charts the runs have figures for, each with a unique name.
 */
export function runCharts(runs: readonly RunFigures[], options: DrawOptions = {}): Chart[] {
  const together = [
    lossChart(runs, options),
    domainChart(runs, options),
    sparsityChart(runs, options),
    lambdaChart(runs),
    regularizationChart(runs, options),
    withoutExpertChart(runs, options),
    flipChart(runs, options),
    optimizerChart(runs, options),
    speedChart(runs, options),
  ];
  const apart = runs.flatMap((run) =>
    [layerSparsityChart(run, options), loadChart(run), loadHistoryChart(run)].map((chart) =>
      chart === null || runs.length === 1 ? chart : ofRun(chart, run)
    )
  );
  return [...together, ...apart].filter((chart) => chart !== null);
}

function ofRun({ name, title, spec }: Chart, { label }: RunFigures): Chart {
  const heading = spec["title"] as { readonly text: string };
  return {
    name: `${name}-${label.replaceAll(/[^\w.-]+/g, "_")}`,
    title: `${title}: ${label}`,
    spec: { ...spec, title: { ...heading, text: `${heading.text}: ${label}` } },
  };
}
