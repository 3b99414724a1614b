/**
 * The `evaluate` command: from trained models to losses and accuracies, and to how they differ.
 *
 * @module
 */

import { dirname } from "node:path";
import { differencesOf } from "../../lib/evaluate/differences.ts";
import type { EvaluationResult } from "../../lib/evaluate/results.ts";
import { callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { type Needs, requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";
import { textNeeds } from "../shared/text_paths.ts";
import { differenceLines, HOW_TO_READ_DIFFERENCES } from "./difference_table.ts";
import { evaluateRun } from "./evaluate_run.ts";
import { makeRoom, type OutputFiles, outputFiles, writeResults } from "./files.ts";
import {
  EVALUATE_FLAGS,
  type EvaluateRequest,
  evaluateRequest,
  parseEvaluateFlags,
} from "./flags.ts";
import {
  type EvaluatedRun,
  findEvaluated,
  labelOf,
  measuresOwn,
  prepareRuns,
} from "./prepare_runs.ts";
import { requireDifferentModels, requireSameText, warnOfReading } from "./same_items.ts";
import { resultLines } from "./table.ts";

const HELP = `Measures trained models: loss and bits per byte of texts, accuracy on zero-shot tasks.

Usage: deno run -A cli/evaluate.ts RUN [RUN …] [FLAGS]

${flagTable(EVALUATE_FLAGS)}

Examples:
  deno task evaluate runs/mine
  deno task evaluate runs/mine --data 'corpus/*/valid.jsonl.gz' --step 1000
  deno task evaluate runs/mine --tasks all --eval-data tasks --limit 200 --log-samples
  deno task evaluate runs/topk runs/relu --tasks all --eval-data tasks

RUN is a run directory (its newest checkpoint is used) or the folder of a checkpoint. If there are
several, each is compared with the first, item by item. Accuracies are those of
lm-evaluation-harness 0.4.13. Ctrl-C ends the evaluation, and nothing is written for the run in
progress; errors exit with code 1.`;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @returns The exit code.
 */
export async function evaluateCommand(args: readonly string[], output: Output): Promise<number> {
  try {
    const given = parseEvaluateFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const request = evaluateRequest(given, base);
    await requirePermissions("evaluate", { read: request.runs }, base);
    const runs = request.runs.map((path) => findEvaluated(path, request.step));
    requireDifferentModels(runs);
    const files = outputFiles(request, runs.map(({ run }) => run.path), new Date());
    await requirePermissions("evaluate", needsOf(request, runs, files), base);
    await evaluate({ request, runs, files }, output);
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

function needsOf(
  request: EvaluateRequest,
  runs: readonly EvaluatedRun[],
  files: readonly OutputFiles[],
): Needs {
  const given = measuresOwn(request) ? null : request.data;
  const needs = runs.map(({ run }) => textNeeds(run.config.data, given));
  const [texts, caches] = [
    needs.flatMap(({ texts }) => texts),
    needs.flatMap(({ cache }) => cache),
  ];
  const { evalData } = request;
  return {
    read: [...new Set([...texts, ...caches, ...(evalData === undefined ? [] : [evalData])])],
    write: [...new Set([...files.map(({ results }) => dirname(results)), ...caches])],
    device: request.device,
  };
}

/** The checked command line and what it refers to. */
interface Work {
  readonly request: EvaluateRequest;
  readonly runs: readonly EvaluatedRun[];
  readonly files: readonly OutputFiles[];
}

async function evaluate({ request, runs, files }: Work, output: Output): Promise<void> {
  const notice = (text: string): void => output.progress(`${text}\n`);
  const prepared = await prepareRuns(runs, request, notice);
  requireSameText(prepared);
  warnOfReading(prepared, notice);
  for (const each of files) makeRoom(each);
  using device = await openDevice(request.device);
  const isOne = prepared.length === 1;
  let baseline: EvaluationResult | undefined;
  for (const [i, run] of prepared.entries()) {
    if (!isOne) notice(`${i + 1} of ${prepared.length}: ${labelOf(run)}`);
    const result = await evaluateRun(device, run, request, output);
    const compared = baseline && {
      ...{ baseline: baseline.settings, differences: differencesOf(result, baseline) },
    };
    baseline ??= result;
    // Shown first: a disk that is full must not cost what was measured.
    output.result([...(isOne ? [] : [labelOf(run), ""]), ...resultLines(result), ""].join("\n"));
    if (compared !== undefined) {
      output.result([...differenceLines(labelOf(prepared[0]!), compared), ""].join("\n"));
    }
    writeResults(files[i]!, { result, compared }, request.logSamples);
    output.result(`Results     ${files[i]!.results}${isOne ? "" : "\n"}`);
  }
  if (!isOne) output.result(HOW_TO_READ_DIFFERENCES);
}
