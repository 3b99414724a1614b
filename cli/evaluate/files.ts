/**
 * The files that an evaluation writes.
 *
 * @module
 */

import { dirname } from "node:path";
import { type EvaluationResult, resultsJson, sampleRows } from "../../lib/evaluate/results.ts";
import { exists, onPath, writeAtomically } from "../../lib/files.ts";
import type { EvaluateRequest } from "./flags.ts";

/** Paths to write to. */
export interface OutputFiles {
  /** The results. */
  readonly results: string;
  /**
   * The items of a task.
   *
   * @param name The task.
   * @returns The path.
   */
  samples(name: string): string;
}

/**
 * Names the files, as lm-evaluation-harness does.
 *
 * @param request The command line.
 * @param run The run directory.
 * @param now The date in their names.
 * @returns The paths.
 */
export function outputFiles(
  { output }: Pick<EvaluateRequest, "output">,
  run: string,
  now: Date,
): OutputFiles {
  if (output !== undefined) {
    const stem = output.replace(/\.json$/, "");
    return { results: output, samples: (name) => `${stem}_samples_${name}.jsonl` };
  }
  const date = now.toISOString().replaceAll(":", "-").replace("Z", "");
  const folder = `${run}/evaluation`;
  return {
    results: `${folder}/results_${date}.json`,
    samples: (name) => `${folder}/samples_${name}_${date}.jsonl`,
  };
}

/**
 * Makes the folder of the results, before the work whose results could otherwise not be written.
 *
 * @param files The paths.
 * @throws {FileError} If it cannot be made, or a folder has the file's name.
 */
export function makeRoom({ results }: OutputFiles): void {
  const folder = dirname(results);
  onPath("make", folder, () => Deno.mkdirSync(folder, { recursive: true }));
  onPath("write", results, () => {
    if (exists(results)) Deno.openSync(results, { write: true }).close();
  });
}

/**
 * Writes the results.
 *
 * @param files Where.
 * @param result The results.
 * @param withSamples Whether to write the items as well.
 * @throws {FileError} If a file cannot be written.
 */
export function writeResults(
  files: OutputFiles,
  result: EvaluationResult,
  withSamples: boolean,
): void {
  for (const task of withSamples ? result.tasks : []) {
    const rows = sampleRows(task).map((row) => `${JSON.stringify(row)}\n`);
    writeAtomically(files.samples(task.task.name), rows.join(""));
  }
  writeAtomically(files.results, `${JSON.stringify(resultsJson(result), null, 2)}\n`);
}
