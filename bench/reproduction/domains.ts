/** The routing of trained models by domain, token and step, over seeds. @module */

import type { CompareResults } from "../../lib/compare/results.ts";
import { NO_DOMAIN } from "../../lib/data/text/document.ts";
import { textFiles } from "../../lib/data/text/text_files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { writeAtomically } from "../../lib/files.ts";
import { analyzeRun } from "./analyze_runs.ts";
import { meanFlipRate, type RunRouting, settledStep } from "./routing_figures.ts";
import { summarizeRouting } from "./routing_summary.ts";
import { routingTable } from "./routing_table.ts";

/** Tokens that each run's routing is observed on: 50,000 of each of six domains. */
const TOKENS = 300_000;

/**
 * Checks that text has several domains, before models are trained on it. Reads no further than the
 * second one.
 *
 * @param paths Absolute paths, as for `--data`.
 * @throws {ConfigError} If there is only one domain.
 * @throws {DataError} If the text cannot be read.
 */
export async function requireDomains(paths: readonly string[]): Promise<void> {
  let first: string | undefined;
  for await (const { domain = NO_DOMAIN } of textFiles(paths).documents()) {
    first ??= domain;
    if (domain !== first) return;
  }
  throw new ConfigError(
    `Cannot compare domains: the text has one, ${first}; give text of several, like a folder for ` +
      `each or domain=PATH`,
  );
}

/**
 * Analyses the runs of a finished comparison, and writes `routing.json` and `routing.md` to its
 * folder.
 *
 * @param out The comparison's folder.
 * @returns The table; null if an analysis failed, which then has said why.
 * @throws {ConfigError} If a run is not finished or has not settled, or lacks flips.
 */
export async function measureRouting(out: string): Promise<string | null> {
  const comparison = JSON.parse(
    await Deno.readTextFile(`${out}/results.json`),
  ) as CompareResults;
  const [finished, all] = comparison.finished;
  if (finished < all) {
    throw new ConfigError(`Cannot analyze ${out}: ${finished} of ${all} runs are finished`);
  }
  const flips_after = settledStep(comparison);
  const runs: RunRouting[] = [];
  for (const run of comparison.runs) {
    const folder = `${out}/runs/${run.folder}`;
    const flip_rate = meanFlipRate(`${folder}/run`, flips_after);
    const figures = await analyzeRun(folder, run, TOKENS);
    if (figures === null) return null;
    runs.push({ row: run.row, seed: run.seed, flip_rate, ...figures });
  }
  const results = {
    figures: summarizeRouting(comparison.rows, runs),
    flips_after,
    // The same for all: the runs share the text.
    tokens: runs[0]!.tokens,
  };
  const table = routingTable(results, comparison);
  const { seeds, command, machine } = comparison;
  writeAtomically(
    `${out}/routing.json`,
    `${JSON.stringify({ format: 1, command, machine, seeds, ...results, runs }, null, 1)}\n`,
  );
  writeAtomically(`${out}/routing.md`, table);
  return table;
}
