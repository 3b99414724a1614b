/** Analyses the runs of a comparison, each once. @module */

import { fileURLToPath } from "node:url";
import type { RunOutcome } from "../../lib/compare/summary.ts";
import { exists, writeAtomically } from "../../lib/files.ts";
import { type AnalysisFigures, readAnalysis } from "./routing_figures.ts";

const ANALYZE = fileURLToPath(new URL("../../cli/analyze.ts", import.meta.url));

/** Written last, so it marks an analysis as finished. */
const RECORD = "routing.json";

/** An analysis on disk. */
interface SavedAnalysis {
  readonly format: 1;
  /** Tokens asked for; there may be fewer. */
  readonly tokens: number;
  readonly figures: AnalysisFigures;
}

/**
 * Analyses a run with `cli/analyze.ts`, or reads what an earlier command left.
 *
 * @param folder The run's folder in the comparison.
 * @param run The run, to name it.
 * @param tokens Tokens to measure on.
 * @returns Its figures; null if the analysis failed, which then has said why.
 */
export async function analyzeRun(
  folder: string,
  { row, seed }: RunOutcome,
  tokens: number,
): Promise<AnalysisFigures | null> {
  const earlier = readRecord(`${folder}/${RECORD}`, tokens);
  if (earlier !== null) {
    console.log(`${row}, seed ${seed}: analysed before`);
    return earlier;
  }
  const out = `${folder}/analysis`;
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ANALYZE, `${folder}/run`, "--out", out, "--tokens", `${tokens}`],
    stdin: "null",
    stdout: "null",
  }).spawn().status;
  if (!success) return null;
  const figures = readAnalysis(out);
  const record: SavedAnalysis = { format: 1, tokens, figures };
  writeAtomically(`${folder}/${RECORD}`, `${JSON.stringify(record)}\n`);
  console.log(`${row}, seed ${seed}: analysed, ${out}/index.html`);
  return figures;
}

/** The figures of a finished analysis of as many tokens; null if there is none. */
function readRecord(file: string, wanted: number): AnalysisFigures | null {
  if (!exists(file)) return null;
  const { format, tokens, figures } = JSON.parse(Deno.readTextFileSync(file)) as SavedAnalysis;
  return format === 1 && tokens === wanted ? figures : null;
}
