/**
 * The folder of a run: its configuration, figures, samples and checkpoints.
 *
 * @module
 */

import { CheckpointError, ConfigError } from "../errors.ts";
import {
  Checkpoint,
  type CheckpointContents,
  type CheckpointFolder,
  listCheckpoints,
  removeLaterCheckpoints,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { writeTextAtomically } from "./files.ts";
import { JsonlSink, type MetricsSink, MetricsSinks, truncateMetrics } from "./metrics.ts";
import { parseConfig } from "./parse_config.ts";
import { checkResumable, configHash } from "./resume.ts";
import { RunLock } from "./run_lock.ts";
import { appendSample, type Sample, truncateSamples } from "./samples.ts";
import { truncateEvents } from "./tensorboard/event_file.ts";
import { TensorBoardSink } from "./tensorboard/sink.ts";

const CONFIG = "config.json";
const METRICS = "metrics.jsonl";
const SAMPLES = "samples.txt";
/** The folder of checkpoints in a run directory. */
export const CHECKPOINTS = "checkpoints";
const TENSORBOARD = "tensorboard";
const LOCK = ".lock";

/** What {@linkcode RunDirectory.create} needs besides the configuration. */
export interface CreateRunOptions {
  /** Folder that holds `runs/`, where the configuration names no directory; default `.`. */
  readonly parent?: string;
  /** The date for the name of the directory; default: now. */
  readonly now?: Date;
}

/** A run to go on with, as {@linkcode findRun} finds it. */
export interface FoundRun {
  /** The run directory. */
  readonly path: string;
  /** The checkpoint's folder that was named; null: the newest. */
  readonly checkpoint: string | null;
  /** The run's configuration. */
  readonly config: TrainConfig;
}

/** An open run directory, locked against a second process. */
export class RunDirectory implements Disposable {
  /** The directory. */
  readonly path: string;
  /** Where the run's figures go. */
  readonly metrics: MetricsSink;
  readonly #lock: RunLock;
  readonly #tensorboard: TensorBoardSink | null;

  private constructor(path: string, lock: RunLock, config: TrainConfig, from: number) {
    this.path = path;
    this.#lock = lock;
    using stack = new DisposableStack();
    const jsonl = stack.use(new JsonlSink(`${path}/${METRICS}`));
    this.#tensorboard = config.log.tensorboard
      ? stack.use(new TensorBoardSink(`${path}/${TENSORBOARD}`, config, { from }))
      : null;
    this.metrics = this.#tensorboard === null
      ? jsonl
      : new MetricsSinks([jsonl, this.#tensorboard]);
    stack.move();
  }

  /**
   * Makes the directory of a new run and writes its `config.json`.
   *
   * @param config The run's configuration; `out` names the directory, null asks for a new one
   * `runs/<date>-<preset>-<router>-e<E>k<k>g<G>-s<seed>`.
   * @param options Where `runs/` is.
   * @returns The open directory; dispose of it to give back the lock.
   * @throws {ConfigError} The directory is not empty.
   * @throws {Deno.errors.Busy} Another process trains in it.
   */
  static create(config: TrainConfig, options: CreateRunOptions = {}): RunDirectory {
    const path = config.out ?? newName(config, options);
    Deno.mkdirSync(path, { recursive: true });
    checkUnused(path);
    const lock = RunLock.acquire(`${path}/${LOCK}`);
    writeTextAtomically(`${path}/${CONFIG}`, configText(config));
    return new RunDirectory(path, lock, config, 0);
  }

  /**
   * Opens the directory of a run in order to go on with it, and writes the configuration to go on
   * with. Whatever was written after the checkpoint is dropped: lines of figures, samples, events,
   * later checkpoints.
   *
   * @param run The run.
   * @param config The configuration to go on with.
   * @returns The open directory and the open checkpoint; dispose of both.
   * @throws {ConfigError} The configuration asks for another model or other data.
   * @throws {CheckpointError} There is no complete checkpoint, or it is damaged.
   * @throws {Deno.errors.Busy} Another process trains in the directory.
   */
  static resume(
    run: FoundRun,
    config: TrainConfig,
  ): { directory: RunDirectory; checkpoint: Checkpoint } {
    checkResumable(run.config, config);
    const { path } = run;
    using stack = new DisposableStack();
    const lock = stack.use(RunLock.acquire(`${path}/${LOCK}`));
    const checkpoint = stack.use(
      run.checkpoint === null
        ? Checkpoint.openNewest(`${path}/${CHECKPOINTS}`)
        : Checkpoint.open(run.checkpoint),
    );
    const { step, config_hash } = checkpoint.state;
    if (config_hash !== configHash(config)) {
      throw new CheckpointError(
        `Cannot resume ${checkpoint.path}: it was written under another configuration than ` +
          `${path}/${CONFIG} holds now`,
      );
    }
    truncateMetrics(`${path}/${METRICS}`, step);
    truncateSamples(`${path}/${SAMPLES}`, step);
    truncateEvents(`${path}/${TENSORBOARD}`, step);
    removeLaterCheckpoints(`${path}/${CHECKPOINTS}`, step);
    writeTextAtomically(`${path}/${CONFIG}`, configText(config));
    const directory = new RunDirectory(path, lock, config, step);
    stack.move();
    return { directory, checkpoint };
  }

  /**
   * Appends a sample to `samples.txt`, and to the events where there are any.
   *
   * @param sample The text and the step it was drawn at.
   */
  appendSample(sample: Sample): void {
    appendSample(`${this.path}/${SAMPLES}`, sample);
    this.#tensorboard?.writeSample(sample);
  }

  /**
   * Writes a checkpoint, and first makes sure that the figures up to it are on the disk.
   *
   * @param contents What to write.
   * @param keep How many of the newest to keep; 0: all.
   * @returns The new checkpoint's folder.
   */
  writeCheckpoint(contents: CheckpointContents, keep: number): CheckpointFolder {
    this.metrics.flush();
    return writeCheckpoint(`${this.path}/${CHECKPOINTS}`, contents, keep);
  }

  /** Closes the figures and gives back the lock. */
  [Symbol.dispose](): void {
    this.metrics[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }
}

/**
 * Finds the run that a path names and reads its configuration.
 *
 * @param path A run directory, or one of its checkpoints' folders to go on from that one.
 * @returns The run.
 * @throws {ConfigError} There is no run at the path, or its configuration cannot be used.
 */
export function findRun(path: string): FoundRun {
  const [, run, name] = /^(.*)\/checkpoints\/(step-\d+)\/*$/.exec(path) ?? [];
  const directory = run ?? path.replace(/(?<=.)\/+$/, "");
  const file = `${directory}/${CONFIG}`;
  let input: unknown;
  try {
    input = JSON.parse(Deno.readTextFileSync(file));
  } catch (cause) {
    throw new ConfigError(`Cannot open the run ${path}: ${file} is missing or not JSON`, { cause });
  }
  return {
    path: directory,
    checkpoint: name === undefined ? null : `${directory}/${CHECKPOINTS}/${name}`,
    config: parseConfig(input, { source: file }),
  };
}

function checkUnused(path: string): void {
  const names = Array.from(Deno.readDirSync(path), (entry) => entry.name);
  const [stranger] = names.filter((name) => name !== LOCK);
  if (stranger === undefined) return;
  const reason = !names.includes(CONFIG)
    ? `it is not empty (${stranger}); choose another directory`
    : listCheckpoints(`${path}/${CHECKPOINTS}`).length > 0
    ? "it holds one; resume it, or choose another directory"
    : "it holds one that ended before its first checkpoint; remove it, or choose another directory";
  throw new ConfigError(`Cannot start a run in ${path}: ${reason}`);
}

function newName(
  config: TrainConfig,
  { parent = ".", now = new Date() }: CreateRunOptions,
): string {
  const { preset, seed, moe } = config;
  const date = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  const experts = moe.router === "dense" ? "" : `-e${moe.experts}k${moe.active}g${moe.granularity}`;
  const base = `${parent}/runs/${date}-${preset}-${moe.router}${experts}-s${seed}`;
  // Runs that start within one second, as sweeps do.
  for (let index = 1;; index++) {
    const path = index === 1 ? base : `${base}-${index}`;
    if (claim(path)) return path;
  }
}

/** Makes a folder that is not there yet; of two processes only one succeeds. */
function claim(path: string): boolean {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  try {
    Deno.mkdirSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

function configText(config: TrainConfig): string {
  return `${JSON.stringify(config, null, 2)}\n`;
}
