/** The routing figures of a finished, analysed run. @module */

import type { DomainLoadReport, FrequencyReport } from "../../lib/analyze/reports.ts";
import type { CompareResults } from "../../lib/compare/results.ts";
import { ConfigError } from "../../lib/errors.ts";
import { exists } from "../../lib/files.ts";
import { mean } from "../../lib/mean.ts";
import { routerOf } from "../../lib/moe/router_of.ts";
import { METRICS } from "../../lib/run/find_run.ts";
import { metricsLines } from "../../lib/run/metrics.ts";
import { isFlips } from "../../lib/run/metrics_line.ts";

const DOMAINS = "domains.json";

/** What `cli/analyze.ts` measured of a run; plain JSON. */
export interface AnalysisFigures {
  /** Tokens that were observed of each domain. */
  readonly tokens: Readonly<Record<string, number>>;
  /** Rank correlation of experts per token with occurrences; null if all have as many experts. */
  readonly rank_correlation: number | null;
  /** Specialisation of each layer; see {@linkcode DomainLoadReport}. */
  readonly specialisation_per_layer: readonly number[];
  /** The distance of each layer's shares; see {@linkcode DomainLoadReport}. */
  readonly share_distance_per_layer: readonly number[];
}

/** The routing figures of a run; plain JSON. */
export interface RunRouting extends AnalysisFigures {
  /** Label of its row. */
  readonly row: string;
  /** Its seed. */
  readonly seed: number;
  /** Mean flip rate of the steps after {@linkcode settledStep}. */
  readonly flip_rate: number;
}

/**
 * Reads the files of an analysis.
 *
 * @param folder The folder that `cli/analyze.ts` wrote.
 * @returns Its figures.
 * @throws {ConfigError} If the text had one domain: a few held-out documents may.
 */
export function readAnalysis(folder: string): AnalysisFigures {
  const json = (name: string): unknown => JSON.parse(Deno.readTextFileSync(`${folder}/${name}`));
  if (!exists(`${folder}/${DOMAINS}`)) {
    throw new ConfigError(
      `Cannot compare domains: ${folder} has no ${DOMAINS}, since the held-out text has one domain; ` +
        `give --validation-data of several`,
    );
  }
  const { rank_correlation } = json("frequency.json") as FrequencyReport;
  const { domains, specialisation_per_layer, share_distance_per_layer } = json(
    DOMAINS,
  ) as DomainLoadReport;
  const tokens = Object.fromEntries(
    Object.entries(domains).map(([name, { tokens }]) => [name, tokens]),
  );
  return { tokens, rank_correlation, specialisation_per_layer, share_distance_per_layer };
}

/**
 * Averages the flip rates of a run.
 *
 * @param run The run directory.
 * @param after The step after which they count.
 * @returns Their mean.
 * @throws {ConfigError} If no later step was measured.
 */
export function meanFlipRate(run: string, after: number): number {
  const rates = [...metricsLines(`${run}/${METRICS}`)].flatMap(({ line }) =>
    isFlips(line) && line.step > after ? [line.flip_rate] : []
  );
  if (rates.length > 0) return mean(rates);
  throw new ConfigError(
    `Cannot average the flip rate of ${run}: none was measured after step ${after}, at which the ` +
      `last run had settled; give more steps, or a smaller flips.every`,
  );
}

/**
 * Finds the step by which every run has settled: flips before it tell how λ got there.
 *
 * @param results The finished comparison.
 * @returns The step; 0 if no router has a λ.
 * @throws {ConfigError} If a run has not settled.
 */
export function settledStep({ runs, configs }: Pick<CompareResults, "runs" | "configs">): number {
  const steps = runs.map(({ row, seed, result }) => {
    const { moe, steps } = configs[row]!;
    if (!routerOf(moe).adapts(moe)) return 0;
    const settled = result?.routing?.settled ?? null;
    if (settled !== null) return settled;
    throw new ConfigError(
      `Cannot compare flip rates: the sparsity of ${row}, seed ${seed} has not settled in ` +
        `${steps} steps; give more steps`,
    );
  });
  return Math.max(0, ...steps);
}
