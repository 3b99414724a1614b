/**
 * Finds the runs that a command line names, and encodes what they are measured on.
 *
 * @module
 */

import { newestCheckpoint } from "../../lib/checkpoint/checkpoint.ts";
import { listCheckpoints, STATE } from "../../lib/checkpoint/folders.ts";
import { type CheckpointState, readCheckpointState } from "../../lib/checkpoint/state.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import { textFiles } from "../../lib/data/text/text_files.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { readItems, taskFile } from "../../lib/evaluate/read_items.ts";
import type { EncodeOptions } from "../../lib/evaluate/request.ts";
import { causalityWarning, requireScorable } from "../../lib/evaluate/require_scorable.ts";
import { type PreparedTask, prepareTask } from "../../lib/evaluate/task_results.ts";
import {
  documentsIn,
  documentsOf,
  type TextDomains,
  type TextOptions,
} from "../../lib/evaluate/text_loss.ts";
import { checkModelOf } from "../../lib/model/open_model.ts";
import { runCorpus } from "../../lib/model/run_corpus.ts";
import { routerLabel } from "../../lib/moe/router_of.ts";
import { CHECKPOINTS, findRun, type FoundRun } from "../../lib/run/find_run.ts";
import type { EvaluateRequest } from "./flags.ts";

/** What the command line asks of each run. */
export type RunRequest = Omit<EvaluateRequest, "runs">;

/** A run to evaluate, at one of its checkpoints. */
export interface EvaluatedRun {
  /** The run. */
  readonly run: FoundRun;
  /** The checkpoint's folder. */
  readonly checkpoint: string;
  /** What the checkpoint was written with. */
  readonly state: CheckpointState;
}

/** Texts and items, as tokens. */
interface Encoded {
  /** The tasks. */
  readonly tasks: readonly PreparedTask[];
  /** The documents by domain; empty if no text is measured. */
  readonly text: TextDomains;
}

/** A run with what it is measured on. */
export interface PreparedRun extends EvaluatedRun, Encoded {
  /** Most tokens that the model reads at a time. */
  readonly maxLength: number;
}

/**
 * Finds a run and its checkpoint, without reading weights.
 *
 * @param path The run directory, or the folder of a checkpoint.
 * @param step The checkpoint's step; undefined for the newest, or the one that the path names.
 * @returns The run.
 * @throws {ConfigError} If there is no run.
 * @throws {CheckpointError} If it has no such checkpoint, or one of another configuration.
 */
export function findEvaluated(path: string, step: number | undefined): EvaluatedRun {
  const run = findRun(path);
  const checkpoint = checkpointOf(run, step);
  const state = readCheckpointState(`${checkpoint}/${STATE}`);
  checkModelOf(run, { path: checkpoint, state });
  return { run, checkpoint, state };
}

function checkpointOf(run: FoundRun, step: number | undefined): string {
  const root = `${run.path}/${CHECKPOINTS}`;
  if (step === undefined) return run.checkpoint ?? newestCheckpoint(root).path;
  const kept = listCheckpoints(root);
  const found = kept.find((checkpoint) => checkpoint.step === step);
  if (found !== undefined) return found.path;
  const steps = kept.map((checkpoint) => checkpoint.step).reverse().join(", ");
  throw new CheckpointError(
    `Cannot open step ${step} of ${run.path}: its checkpoints are of the steps ${steps || "none"}`,
  );
}

/** How a run is named in tables and messages. */
export function labelOf({ run, state }: EvaluatedRun): string {
  return `${run.path} at step ${state.step}`;
}

/** Whether the runs' own text is measured. */
export function measuresOwn({ tasks, data }: Pick<RunRequest, "tasks" | "data">): boolean {
  return tasks.length === 0 && data.length === 0;
}

/**
 * Encodes what is to be measured of runs, before any model is loaded.
 *
 * @param runs The runs.
 * @param request The command line.
 * @param notice Receives what the user should know.
 * @returns The runs, ready to be measured.
 * @throws {ConfigError} If a router cannot be scored.
 * @throws {DataError} If a text or an item cannot be used.
 */
export async function prepareRuns(
  runs: readonly EvaluatedRun[],
  request: RunRequest,
  notice: (text: string) => void,
): Promise<PreparedRun[]> {
  const lengthOf = ({ run }: EvaluatedRun) => request.maxLength ?? run.config.data.sequence;
  const noticeOf = (run: EvaluatedRun): typeof notice =>
    runs.length === 1 ? notice : (text) => notice(`${labelOf(run)}: ${text}`);
  for (const run of runs) checkRouter(run, request, lengthOf(run), noticeOf(run));
  // A missing file is noticed before any is encoded.
  for (const name of request.tasks) taskFile(request.evalData!, name);
  const prepared: PreparedRun[] = [];
  const given = new Map<string, Encoded>();
  for (const run of runs) {
    if (runs.length > 1) noticeOf(run)("reading what it is measured on");
    const [maxLength, { data }] = [lengthOf(run), run.run.config];
    const tokenizer = await openTokenizer(data.tokenizer, data.tokenizer_file);
    const options = { tokenizer, maxLength };
    if (measuresOwn(request)) {
      const text = await ownText(run, { ...options, limit: request.limit }, noticeOf(run));
      prepared.push({ ...run, maxLength, tasks: [], text });
      continue;
    }
    const key = JSON.stringify([data.tokenizer, data.tokenizer_file, maxLength]);
    const encoded = given.get(key) ?? await encodeGiven(request, options);
    given.set(key, encoded);
    prepared.push({ ...run, maxLength, ...encoded });
  }
  return prepared;
}

function checkRouter(
  run: EvaluatedRun,
  { tasks }: RunRequest,
  maxLength: number,
  notice: (text: string) => void,
): void {
  const { moe } = run.run.config;
  if (tasks.length > 0) requireScorable(moe, maxLength);
  const warning = causalityWarning(moe, maxLength);
  if (warning === null) return;
  notice(`The losses of the router ${routerLabel(moe.router)} are too low: ${warning}`);
}

async function encodeGiven(
  { tasks: names, evalData, data, limit, bos }: RunRequest,
  options: Pick<EncodeOptions, "tokenizer" | "maxLength">,
): Promise<Encoded> {
  const tasks: PreparedTask[] = [];
  for (const name of names) {
    tasks.push(prepareTask(await readItems(evalData!, name, limit), { ...options, bos }));
  }
  const text: TextDomains = data.length === 0
    ? new Map()
    : await documentsOf(textFiles(data), { ...options, limit });
  return { tasks, text };
}

async function ownText(
  { run: { config }, state }: EvaluatedRun,
  options: TextOptions,
  notice: (text: string) => void,
): Promise<TextDomains> {
  const { corpusNotices } = await import("../../lib/train/corpus_notices.ts");
  const corpus = await runCorpus(config.data, options.tokenizer, corpusNotices(notice));
  if (state.text !== undefined && state.text !== corpus.contentHash) {
    notice("The run's text has changed since: what is held out now may have been trained on");
  }
  return documentsIn(corpus.validation, options);
}
