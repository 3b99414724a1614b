/**
 * The `evaluate` command: from a trained model to losses and accuracies.
 *
 * @module
 */

import { dirname } from "node:path";
import type { Device } from "../../lib/autograd/device.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { folderName, listCheckpoints } from "../../lib/checkpoint/folders.ts";
import { textFiles } from "../../lib/data/text/text_files.ts";
import { readItems, taskFile } from "../../lib/evaluate/read_items.ts";
import type { EncodeOptions } from "../../lib/evaluate/request.ts";
import { causalityWarning, requireScorable } from "../../lib/evaluate/require_scorable.ts";
import { scorerFor } from "../../lib/evaluate/scorer_for.ts";
import { tokensOf } from "../../lib/evaluate/scorer.ts";
import { type PreparedTask, prepareTask, scoreTask } from "../../lib/evaluate/task_results.ts";
import type { EvaluationResult } from "../../lib/evaluate/results.ts";
import {
  documentsIn,
  documentsOf,
  measureText,
  type TextDomains,
  windowsOf,
} from "../../lib/evaluate/text_loss.ts";
import { type OpenedModel, openModel } from "../../lib/model/open_model.ts";
import { runCorpus } from "../../lib/model/run_corpus.ts";
import { routerLabel } from "../../lib/moe/router_of.ts";
import { CHECKPOINTS, findRun, type FoundRun } from "../../lib/run/find_run.ts";
import { callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { formatCount, formatSeconds } from "../shared/format.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { type Needs, requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";
import { textNeeds } from "../shared/text_paths.ts";
import { makeRoom, type OutputFiles, outputFiles, writeResults } from "./files.ts";
import {
  EVALUATE_FLAGS,
  type EvaluateRequest,
  evaluateRequest,
  parseEvaluateFlags,
} from "./flags.ts";
import { EvaluationProgress } from "./progress.ts";
import { resultLines } from "./table.ts";

const HELP =
  `Measures a trained model: loss and bits per byte of texts, accuracy on zero-shot tasks.

Usage: deno run -A cli/evaluate.ts RUN [FLAGS]

${flagTable(EVALUATE_FLAGS)}

Examples:
  deno task evaluate runs/mine
  deno task evaluate runs/mine --data 'corpus/*/valid.jsonl.gz' --step 1000
  deno task evaluate runs/mine --tasks all --eval-data tasks --limit 200 --log-samples

RUN is a run directory (its newest checkpoint is used) or the folder of a checkpoint. Accuracies are
those of lm-evaluation-harness 0.4.13. Ctrl-C ends the evaluation, of which nothing is then written;
errors exit with code 1.`;

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
    await requirePermissions("evaluate", { read: [request.run] }, base);
    const run = findRun(request.run);
    const work = { request, run, checkpoint: checkpointOf(request, run) };
    const files = outputFiles(request, run.path, new Date());
    await requirePermissions("evaluate", needsOf(work, dirname(files.results)), base);
    await evaluate({ ...work, files }, output);
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

/** The checked command line and what it refers to. */
interface Work {
  readonly request: EvaluateRequest;
  readonly run: FoundRun;
  /** What to open: the run, or one of its checkpoints. */
  readonly checkpoint: string;
}

/** The checkpoint of a step, or what was given. */
function checkpointOf({ run: path, step }: EvaluateRequest, run: FoundRun): string {
  if (step === undefined) return path;
  const kept = listCheckpoints(`${run.path}/${CHECKPOINTS}`);
  if (kept.some((checkpoint) => checkpoint.step === step)) {
    return `${run.path}/${CHECKPOINTS}/${folderName(step)}`;
  }
  const steps = kept.map((checkpoint) => checkpoint.step).reverse().join(", ");
  throw new CheckpointError(
    `Cannot open step ${step} of ${run.path}: its checkpoints are of the steps ${steps || "none"}`,
  );
}

/** Whether the run's own text is measured. */
function measuresOwn({ tasks, data }: EvaluateRequest): boolean {
  return tasks.length === 0 && data.length === 0;
}

function needsOf({ request, run }: Work, out: string): Needs {
  const { texts, cache } = textNeeds(run.config.data, measuresOwn(request) ? null : request.data);
  const { evalData } = request;
  return {
    read: [...texts, ...cache, ...(evalData === undefined ? [] : [evalData])],
    write: [out, ...cache],
    device: request.device,
  };
}

async function evaluate(
  { files, ...work }: Work & { readonly files: OutputFiles },
  output: Output,
): Promise<void> {
  const { request, run, checkpoint } = work;
  const started = new Date();
  const maxLength = request.maxLength ?? run.config.data.sequence;
  const notice = (text: string): void => output.progress(`${text}\n`);
  checkRouter(work, maxLength, notice);
  // A missing file is noticed before the model is loaded.
  for (const name of request.tasks) taskFile(request.evalData!, name);
  using device = await openDevice(request.device);
  using opened = await openModel(device, checkpoint, { dtype: request.dtype });
  const { tokenizer } = opened;
  const tasks = await prepareTasks(request, { tokenizer, maxLength, bos: request.bos });
  const text = await prepareText(opened, request, maxLength, notice);
  makeRoom(files);
  const { batch } = request;
  const measured = measure({ device, opened, batch, tasks, text }, output);
  const { dtype } = opened.model;
  const result: EvaluationResult = {
    settings: {
      ...{ run: run.path, step: opened.step, router: routerLabel(run.config.moe.router) },
      ...{ limit: request.limit ?? null, maxLength, bos: request.bos },
      ...{ device: device.info().backend, dtype },
    },
    ...{ ...measured, started, seconds: (Date.now() - started.getTime()) / 1000 },
  };
  writeResults(files, result, request.logSamples);
  output.result([...resultLines(result), "", `Results     ${files.results}`].join("\n"));
}

function checkRouter(
  { request, run: { config: { moe } } }: Work,
  maxLength: number,
  notice: (text: string) => void,
): void {
  if (request.tasks.length > 0) requireScorable(moe, maxLength);
  const warning = causalityWarning(moe, maxLength);
  if (warning === null) return;
  notice(`The losses of the router ${routerLabel(moe.router)} are too low: ${warning}`);
}

async function prepareTasks(
  { tasks, evalData, limit }: EvaluateRequest,
  options: EncodeOptions,
): Promise<PreparedTask[]> {
  const prepared: PreparedTask[] = [];
  for (const name of tasks) {
    prepared.push(prepareTask(await readItems(evalData!, name, limit), options));
  }
  return prepared;
}

async function prepareText(
  { config, tokenizer, textHash }: OpenedModel,
  request: EvaluateRequest,
  maxLength: number,
  notice: (text: string) => void,
): Promise<TextDomains> {
  const options = { tokenizer, maxLength, limit: request.limit };
  if (request.data.length > 0) return await documentsOf(textFiles(request.data), options);
  if (!measuresOwn(request)) return new Map();
  const { corpusNotices } = await import("../../lib/train/corpus_notices.ts");
  const corpus = await runCorpus(config.data, tokenizer, corpusNotices(notice));
  if (textHash !== undefined && textHash !== corpus.contentHash) {
    notice("The run's text has changed since: what is held out now may have been trained on");
  }
  return documentsIn(corpus.validation, options);
}

/** What is to be measured, with what. */
interface Prepared {
  readonly device: Device;
  readonly opened: OpenedModel;
  /** Tokens per batch. */
  readonly batch: number;
  readonly tasks: readonly PreparedTask[];
  readonly text: TextDomains;
}

function measure(
  { device, opened, batch, tasks, text }: Prepared,
  output: Output,
): Pick<EvaluationResult, "tasks" | "text"> {
  const scorer = scorerFor(opened.config.moe, { device, model: opened.model, batch });
  const items = [...[...text.values()].map(windowsOf), ...tasks.map(({ requests }) => requests)];
  const held = tokensOf(items.flat(2));
  const cost = items.reduce((sum, each) => sum + scorer.cost(each), 0);
  const progress = new EvaluationProgress(output, cost);
  const count = (what: string) => (tokens: number): void => progress.add(tokens, what);
  try {
    const measured = {
      text: text.size === 0 ? null : measureText(text, scorer, count("text")),
      tasks: tasks.map((task) => scoreTask(task, scorer, count(task.name))),
    };
    const { seconds } = progress;
    progress.stop();
    const read = cost === held ? "" : `, of which ${formatCount(cost)} had to be read,`;
    output.progress(
      `Scored ${formatCount(held)} tokens${read} in ${formatSeconds(seconds)}, ` +
        `${formatCount(held / seconds)} tokens/s\n`,
    );
    return measured;
  } catch (error) {
    progress.stop();
    throw error;
  }
}
