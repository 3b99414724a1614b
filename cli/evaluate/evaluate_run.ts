/**
 * Evaluates one of the runs that a command line names: first its texts and items are made ready,
 * then its model is opened and measured.
 *
 * @module
 */

import type { Device } from "../../lib/autograd/device.ts";
import { folderName, listCheckpoints } from "../../lib/checkpoint/folders.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import { textFiles } from "../../lib/data/text/text_files.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { readItems, taskFile } from "../../lib/evaluate/read_items.ts";
import type { EncodeOptions } from "../../lib/evaluate/request.ts";
import { causalityWarning, requireScorable } from "../../lib/evaluate/require_scorable.ts";
import type { EvaluationResult } from "../../lib/evaluate/results.ts";
import { scorerFor } from "../../lib/evaluate/scorer_for.ts";
import { tokensOf } from "../../lib/evaluate/scorer.ts";
import { type PreparedTask, prepareTask, scoreTask } from "../../lib/evaluate/task_results.ts";
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
import { formatCount, formatSeconds } from "../shared/format.ts";
import type { Output } from "../shared/output.ts";
import type { EvaluateRequest } from "./flags.ts";
import { EvaluationProgress } from "./progress.ts";

/** What the command line asks of each run. */
type RunRequest = Omit<EvaluateRequest, "runs">;

/** A run to evaluate. */
export interface EvaluatedRun {
  /** The run. */
  readonly run: FoundRun;
  /** What to open: the run, or one of its checkpoints. */
  readonly checkpoint: string;
}

/** Texts and items, as tokens of a run's tokenizer. */
export interface PreparedRun extends EvaluatedRun {
  /** Most tokens that the model reads at a time. */
  readonly maxLength: number;
  /** The tasks. */
  readonly tasks: readonly PreparedTask[];
  /** The documents by domain; empty if no text is measured. */
  readonly text: TextDomains;
  /** `Corpus.contentHash` of the run's own text as it is now; null if that is not measured. */
  readonly ownText: string | null;
}

/**
 * Finds a run and its checkpoint.
 *
 * @param path The run directory, or the folder of a checkpoint.
 * @param step The checkpoint's step; undefined for the newest, or the one that the path names.
 * @returns The run.
 * @throws {ConfigError} If there is no run.
 * @throws {CheckpointError} If it has no checkpoint of that step.
 */
export function findEvaluated(path: string, step: number | undefined): EvaluatedRun {
  const run = findRun(path);
  if (step === undefined) return { run, checkpoint: path };
  const kept = listCheckpoints(`${run.path}/${CHECKPOINTS}`);
  if (kept.some((checkpoint) => checkpoint.step === step)) {
    return { run, checkpoint: `${run.path}/${CHECKPOINTS}/${folderName(step)}` };
  }
  const steps = kept.map((checkpoint) => checkpoint.step).reverse().join(", ");
  throw new CheckpointError(
    `Cannot open step ${step} of ${run.path}: its checkpoints are of the steps ${steps || "none"}`,
  );
}

/** Whether the runs' own text is measured. */
export function measuresOwn({ tasks, data }: Pick<RunRequest, "tasks" | "data">): boolean {
  return tasks.length === 0 && data.length === 0;
}

/**
 * Encodes what is to be measured of a run, before any model is loaded.
 *
 * @param evaluated The run.
 * @param request The command line.
 * @param notice Receives what the user should know.
 * @returns The run, ready to be measured.
 * @throws {ConfigError} If the router cannot be scored.
 * @throws {DataError} If a text or an item cannot be used.
 */
export async function prepareRun(
  evaluated: EvaluatedRun,
  request: RunRequest,
  notice: (text: string) => void,
): Promise<PreparedRun> {
  const { config } = evaluated.run;
  const maxLength = request.maxLength ?? config.data.sequence;
  checkRouter(evaluated, request, maxLength, notice);
  // A missing file is noticed before any is encoded.
  for (const name of request.tasks) taskFile(request.evalData!, name);
  const tokenizer = await openTokenizer(config.data.tokenizer, config.data.tokenizer_file);
  const options = { tokenizer, maxLength };
  const tasks = await prepareTasks(request, { ...options, bos: request.bos });
  const { text, ownText } = await prepareText(evaluated, request, options, notice);
  return { ...evaluated, maxLength, tasks, text, ownText };
}

function checkRouter(
  { run: { config: { moe } } }: EvaluatedRun,
  { tasks }: RunRequest,
  maxLength: number,
  notice: (text: string) => void,
): void {
  if (tasks.length > 0) requireScorable(moe, maxLength);
  const warning = causalityWarning(moe, maxLength);
  if (warning === null) return;
  notice(`The losses of the router ${routerLabel(moe.router)} are too low: ${warning}`);
}

async function prepareTasks(
  { tasks, evalData, limit }: RunRequest,
  options: EncodeOptions,
): Promise<PreparedTask[]> {
  const prepared: PreparedTask[] = [];
  for (const name of tasks) {
    prepared.push(prepareTask(await readItems(evalData!, name, limit), options));
  }
  return prepared;
}

async function prepareText(
  { run: { config } }: EvaluatedRun,
  request: RunRequest,
  options: { readonly tokenizer: Tokenizer; readonly maxLength: number },
  notice: (text: string) => void,
): Promise<Pick<PreparedRun, "text" | "ownText">> {
  const limited = { ...options, limit: request.limit };
  if (request.data.length > 0) {
    return { text: await documentsOf(textFiles(request.data), limited), ownText: null };
  }
  if (!measuresOwn(request)) return { text: new Map(), ownText: null };
  const { corpusNotices } = await import("../../lib/train/corpus_notices.ts");
  const corpus = await runCorpus(config.data, options.tokenizer, corpusNotices(notice));
  return { text: documentsIn(corpus.validation, limited), ownText: corpus.contentHash };
}

/**
 * Opens a run's model and measures it.
 *
 * @param device The device.
 * @param prepared The run.
 * @param request The command line.
 * @param output Where to show progress.
 * @returns The results.
 * @throws {CheckpointError} If the model cannot be opened.
 * @throws {LogitsError} If a score is not a number.
 */
export async function evaluateRun(
  device: Device,
  prepared: PreparedRun,
  request: RunRequest,
  output: Output,
): Promise<EvaluationResult> {
  const started = new Date();
  const { run, checkpoint, maxLength, ownText } = prepared;
  using opened = await openModel(device, checkpoint, { dtype: request.dtype });
  if (ownText !== null && opened.textHash !== undefined && opened.textHash !== ownText) {
    output.progress(
      "The run's text has changed since: what is held out now may have been trained on\n",
    );
  }
  const measured = measure({ device, opened, batch: request.batch }, prepared, output);
  return {
    settings: {
      ...{ run: run.path, step: opened.step, router: routerLabel(run.config.moe.router) },
      ...{ limit: request.limit ?? null, maxLength, bos: request.bos },
      ...{ device: device.info().backend, dtype: opened.model.dtype },
    },
    ...{ ...measured, started, seconds: (Date.now() - started.getTime()) / 1000 },
  };
}

/** A model, and how it is to be measured. */
interface Measurable {
  readonly device: Device;
  readonly opened: OpenedModel;
  /** Tokens per batch. */
  readonly batch: number;
}

function measure(
  { device, opened, batch }: Measurable,
  { tasks, text }: PreparedRun,
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
    const [total, needed] = [formatCount(held), formatCount(cost)];
    const read = needed === total ? "" : `, of which ${needed} had to be read,`;
    output.progress(
      `Scored ${total} tokens${read} in ${formatSeconds(seconds)}, ` +
        `${formatCount(held / seconds)} tokens/s\n`,
    );
    return measured;
  } catch (error) {
    progress.stop();
    throw error;
  }
}
