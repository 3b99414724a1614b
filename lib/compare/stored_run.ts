/**
 * The folder of one run of a comparison: how far it has got, its result, why it failed.
 *
 * @module
 */

import { listCheckpoints, STATE } from "../checkpoint/folders.ts";
import { readCheckpointState } from "../checkpoint/state.ts";
import type { TrainConfig } from "../config/config.ts";
import { withEarlierDefaults } from "../config/earlier_defaults.ts";
import { parseConfig } from "../config/parse_config.ts";
import { ConfigError } from "../errors.ts";
import { exists, onPath, removeIfThere, writeAtomically } from "../files.ts";
import { isBundled } from "../model/run_corpus.ts";
import { CHECKPOINTS, CONFIG } from "../run/find_run.ts";
import { RunLock } from "../run/lock.ts";
import { readRunResult, type RunResult } from "./run_result.ts";
import type { Texts } from "./texts.ts";

/** Folder of the runs in that of the comparison. */
export const RUNS = "runs";
/** What a run's figures depend on. */
const RECORD = "run.json";
const RESULT = "result.json";
const FAILURE = "failure.json";

/** How far a run has got. */
export type RunState = "new" | "begun" | "finished";

/** Everything that a run's figures depend on. */
export interface RunRecord {
  /** The configuration. */
  readonly config: TrainConfig;
  /** Instruction set that the kernels are limited to, or null. */
  readonly isa: string | null;
  /** Identity of the text that it trains on; null if an earlier version did not record it. */
  readonly text: string | null;
}

/** A run with a folder. */
export class StoredRun {
  /** The folder's name. */
  readonly name: string;
  /** The folder. */
  readonly path: string;
  /** Configuration, with the run directory. */
  readonly config: TrainConfig;
  /** Instruction set that the kernels are limited to, or null. */
  readonly isa: string | null;
  /** Identity of the text that it trains on; null if an earlier version did not record it. */
  readonly text: string | null;
  #result: RunResult | null;

  constructor(root: string, name: string, { config, isa, text }: RunRecord) {
    this.name = name;
    this.path = `${root}/${RUNS}/${name}`;
    this.config = { ...config, out: `${this.path}/run` };
    this.isa = isa;
    this.text = text;
    this.#result = savedResult(`${this.path}/${RESULT}`);
  }

  /** The run directory. */
  get directory(): string {
    return this.config.out!;
  }

  /** The run's result; null if it is not finished. */
  get result(): RunResult | null {
    return this.#result;
  }

  /** Why the last attempt failed; null if it did not. */
  get failure(): string | null {
    const file = `${this.path}/${FAILURE}`;
    return exists(file) ? (readJson(file) as { reason: string }).reason : null;
  }

  /** How far the run has got. */
  state(): RunState {
    // Even if another version wrote the result: the metrics are still in the run directory.
    if (exists(`${this.path}/${RESULT}`)) return "finished";
    const [newest] = listCheckpoints(`${this.directory}/${CHECKPOINTS}`);
    if (newest === undefined) return "new";
    return newest.step === this.config.steps ? "finished" : "begun";
  }

  /**
   * Prepares the folder for a training process.
   *
   * @returns The state from which the process starts or resumes.
   * @throws {FileError} If another process trains in it, or the folder cannot be written to.
   */
  prepare(): RunState {
    const state = this.state();
    if (exists(this.directory)) RunLock.acquire(`${this.directory}/.lock`)[Symbol.dispose]();
    // Killed before its first checkpoint: nothing to resume.
    if (state === "new") removeIfThere(this.directory);
    onPath("make", this.path, () => Deno.mkdirSync(this.path, { recursive: true }));
    removeIfThere(`${this.path}/${FAILURE}`);
    return state;
  }

  /**
   * Saves the run's result.
   *
   * @param dropWeights Whether to remove its checkpoints.
   * @returns The result.
   * @throws {ConfigError} If the metrics are incomplete, or the run read another text than planned.
   */
  finish(dropWeights: boolean): RunResult {
    if (this.#result === null) {
      this.#checkText();
      this.#result = readRunResult(this.directory, this.config);
      writeAtomically(`${this.path}/${RESULT}`, `${JSON.stringify(this.#result)}\n`);
    }
    // Only now: until the result is saved, the last checkpoint marks the run as finished.
    if (dropWeights) removeIfThere(`${this.directory}/${CHECKPOINTS}`);
    return this.#result;
  }

  /** Throws if the text changed between the start of the command and that of the training process. */
  #checkText(): void {
    const trained = textOfCheckpoint(this.directory);
    if (isBundled(this.config.data) || trained === null || trained === this.text) return;
    throw new ConfigError(
      `Cannot use ${this.path}: the text changed before the run read it; remove the folder to ` +
        `train it again`,
    );
  }

  /**
   * Saves why the run failed.
   *
   * @param reason The process's final message.
   */
  fail(reason: string): void {
    writeAtomically(`${this.path}/${FAILURE}`, `${JSON.stringify({ reason })}\n`);
  }
}

/**
 * Records what a run's folder is for.
 *
 * @param run The run.
 * @throws {FileError} If the folder cannot be written.
 */
export function writeRecord({ path, config, isa, text }: StoredRun): void {
  onPath("make", path, () => Deno.mkdirSync(path, { recursive: true }));
  const saved = { format: 1, isa, text, config: { ...config, out: null } };
  writeAtomically(`${path}/${RECORD}`, `${JSON.stringify(saved, null, 2)}\n`);
}

/**
 * Reads what a run's folder is for.
 *
 * @param path The folder.
 * @param texts What the runs' texts hold now.
 * @returns The record; null if it is another folder.
 * @throws {ConfigError} If the record is damaged.
 */
export function savedRecord(path: string, texts: Texts): RunRecord | null {
  const file = `${path}/${RECORD}`;
  if (!exists(file)) return null;
  const saved = readJson(file) as { config: unknown; isa: string | null; text?: string | null };
  const config = parseConfig(withEarlierDefaults(saved.config), { source: file });
  // Earlier versions did not record the text; the bundled one has not changed since.
  const text = saved.text ??
    (isBundled(config.data) ? texts.of(config.data) ?? null : textOfCheckpoint(`${path}/run`));
  return { config, isa: saved.isa, text };
}

/**
 * Writes the configuration that `train` is started with; the run directory has its own copy.
 *
 * @param run The run.
 * @param over Settings that change no figures.
 * @returns The file.
 */
export function writeTrainConfig(
  { path, config }: StoredRun,
  over: Pick<TrainConfig, "threads" | "memory">,
): string {
  const file = `${path}/${CONFIG}`;
  // Read from the router's file again.
  const { router_file: _, ...moe } = config.moe;
  writeAtomically(file, `${JSON.stringify({ ...config, moe, ...over }, null, 2)}\n`);
  return file;
}

/** The text that a run trained on, as its newest checkpoint knows it; null if there is none. */
function textOfCheckpoint(directory: string): string | null {
  const [newest] = listCheckpoints(`${directory}/${CHECKPOINTS}`);
  return newest === undefined ? null : readCheckpointState(`${newest.path}/${STATE}`).text ?? null;
}

function savedResult(file: string): RunResult | null {
  if (!exists(file)) return null;
  const result = readJson(file) as Partial<RunResult>;
  // One of another version is recomputed.
  return result.format === 2 ? result as RunResult : null;
}

function readJson(file: string): unknown {
  const text = onPath("read", file, () => Deno.readTextFileSync(file));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`Cannot read ${file}: it is not JSON; remove it`, { cause });
  }
}
