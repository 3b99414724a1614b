/**
 * The files that an evaluation writes.
 *
 * @module
 */

import { dirname } from "node:path";
import {
  type ComparedResult,
  type EvaluationResult,
  resultsJson,
  sampleRows,
} from "../../lib/evaluate/results.ts";
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
 * Names the files of each run, as lm-evaluation-harness does.
 *
 * @param request The command line.
 * @param runs The run directories.
 * @param now The date in their names.
 * @returns The paths, by run.
 */
export function outputFiles(
  { output }: Pick<EvaluateRequest, "output">,
  runs: readonly string[],
  now: Date,
): OutputFiles[] {
  if (output !== undefined) {
    const stem = output.replace(/\.json$/, "");
    return [{ results: output, samples: (name) => `${stem}_samples_${name}.jsonl` }];
  }
  const places = runs.map((run) => Deno.realPathSync(run));
  return runs.map((run, i) => {
    const folder = `${run}/evaluation`;
    // Several checkpoints of one run: readers of these names expect a date and nothing else.
    const before = places.slice(0, i).filter((place) => place === places[i]).length;
    const date = new Date(now.getTime() + before).toISOString();
    const ending = date.replaceAll(":", "-").replace("Z", "");
    return {
      results: `${folder}/results_${ending}.json`,
      samples: (name) => `${folder}/samples_${name}_${ending}.jsonl`,
    };
  });
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
  onPath("write to", folder, () => Deno.removeSync(Deno.makeTempFileSync({ dir: folder })));
  onPath("write", results, () => {
    if (exists(results)) Deno.openSync(results, { write: true }).close();
  });
}

/**
 * Writes the results of a run.
 *
 * @param files Where.
 * @param written The results, and how they differ from those of another run, if there is one.
 * @param withSamples Whether to write the items as well.
 * @throws {FileError} If a file cannot be written.
 */
export function writeResults(
  files: OutputFiles,
  { result, compared }: {
    readonly result: EvaluationResult;
    readonly compared?: ComparedResult | undefined;
  },
  withSamples: boolean,
): void {
  for (const task of withSamples ? result.tasks : []) {
    const rows = sampleRows(task).map((row) => `${JSON.stringify(row)}\n`);
    writeAtomically(files.samples(task.task.name), rows.join(""));
  }
  writeAtomically(files.results, `${JSON.stringify(resultsJson(result, compared), null, 2)}\n`);
}
