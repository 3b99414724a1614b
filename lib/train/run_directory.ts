/**
 * The folder of a run: its configuration, figures, samples and checkpoints.
 *
 * @module
 */

import { dirname } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import {
  Checkpoint,
  type CheckpointContents,
  type CheckpointFolder,
  listCheckpoints,
  removeLaterCheckpoints,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { exists, onPath, writeTextAtomically } from "./files.ts";
import {
  JsonlSink,
  type MetricsSink,
  MetricsSinks,
  readMetrics,
  truncateMetrics,
} from "./metrics.ts";
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

/** How a directory was opened. */
interface Opening {
  /** Steps taken before. */
  readonly from: number;
  /** Writes the configuration, and drops what a resumed run drops. */
  readonly prepare: () => void;
  /** Gives the lock back; a directory that was not begun is as it was before. */
  readonly undo: () => void;
}

/**
 * An open run directory, locked against a second process.
 *
 * Nothing in it is written or dropped before {@linkcode RunDirectory.begin}: a run that cannot begin,
 * because its text or its checkpoint turns out to be unusable, leaves everything as it was.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { configHash, findRun, initialStage, parseConfig, RunDirectory } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const config = parseConfig({ preset: "pico", out: `${folder}/run` });
 * {
 *   using directory = RunDirectory.create(config);
 *   directory.metrics.write({ step: 1, valid_loss: 3, valid_bits_per_byte: 4 });
 *   directory.appendSample({ step: 1, prompt: "", text: "Once" });
 *   const state = {
 *     format: 1,
 *     step: 1,
 *     tokens: 2048,
 *     lambda: 1e-8,
 *     stage: initialStage("relu"),
 *     sampler: null,
 *     seed: config.seed,
 *     config_hash: configHash(config),
 *     versions: {},
 *   } as const;
 *   directory.writeCheckpoint({ state, model: [], optimizer: [] }, 2);
 * }
 * {
 *   const { directory, checkpoint } = RunDirectory.resume(findRun(`${folder}/run`), config);
 *   assert(checkpoint.state.step === 1);
 *   checkpoint[Symbol.dispose]();
 *   directory[Symbol.dispose]();
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class RunDirectory implements Disposable {
  /** The directory. */
  readonly path: string;
  readonly #lock: RunLock;
  readonly #config: TrainConfig;
  readonly #opening: Opening;
  #metrics: MetricsSink | null = null;
  #tensorboard: TensorBoardSink | null = null;

  private constructor(path: string, lock: RunLock, config: TrainConfig, opening: Opening) {
    this.path = path;
    this.#lock = lock;
    this.#config = config;
    this.#opening = opening;
  }

  /**
   * Makes the directory of a new run.
   *
   * @param config The run's configuration; `out` names the directory, null asks for a new one
   * `runs/<date>-<preset>-<router>-e<E>k<k>g<G>-s<seed>`.
   * @param options Where `runs/` is.
   * @returns The open directory; dispose of it to give back the lock. One that was made for a run
   * that did not begin is then removed.
   * @throws {ConfigError} The directory is not empty.
   * @throws {FileError} It cannot be made or written to, or another process trains in it.
   */
  static create(config: TrainConfig, options: CreateRunOptions = {}): RunDirectory {
    using stack = new DisposableStack();
    const { path, made } = config.out === null
      ? newFolder(config, options)
      : { path: config.out, made: makeFolders(config.out) };
    stack.defer(() => made.forEach(removeIfEmpty));
    const hadLock = exists(`${path}/${LOCK}`);
    if (!hadLock) checkUnused(path);
    const lock = stack.adopt(
      RunLock.acquire(`${path}/${LOCK}`),
      (lock) => hadLock ? lock[Symbol.dispose]() : lock.remove(),
    );
    // Once more, or for the first time: while another process trains, its run is no remains.
    checkUnused(path);
    const undo = stack.move();
    return new RunDirectory(path, lock, config, {
      from: 0,
      prepare: () => writeTextAtomically(`${path}/${CONFIG}`, configText(config)),
      undo: () => undo.dispose(),
    });
  }

  /**
   * Opens the directory of a run in order to go on with it. As the run begins, whatever was written
   * after the checkpoint is dropped: lines of figures, samples, events, later checkpoints.
   *
   * @param run The run.
   * @param config The configuration to go on with, which is written as the run begins.
   * @returns The open directory and the open checkpoint; dispose of both.
   * @throws {ConfigError} The configuration asks for another model or other data.
   * @throws {CheckpointError} There is no complete checkpoint, or it is damaged.
   * @throws {SyntaxError} The figures are damaged; names the line.
   * @throws {FileError} The directory cannot be read or written to, or another process trains in it.
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
          `${path}/${CONFIG} holds now; undo what was changed there`,
      );
    }
    if (exists(`${path}/${METRICS}`)) readMetrics(`${path}/${METRICS}`);
    stack.move();
    const directory = new RunDirectory(path, lock, config, {
      from: step,
      prepare: () => {
        truncateMetrics(`${path}/${METRICS}`, step);
        truncateSamples(`${path}/${SAMPLES}`, step);
        truncateEvents(`${path}/${TENSORBOARD}`, step);
        removeLaterCheckpoints(`${path}/${CHECKPOINTS}`, step);
        writeTextAtomically(`${path}/${CONFIG}`, configText(config));
      },
      undo: () => lock[Symbol.dispose](),
    });
    return { directory, checkpoint };
  }

  /**
   * Begins to write: the configuration, and what a resumed run drops. The first figure, sample or
   * checkpoint begins by itself; to call it twice is to call it once.
   *
   * @throws {FileError} The directory cannot be written to.
   */
  begin(): void {
    if (this.#metrics !== null) return;
    this.#opening.prepare();
    using stack = new DisposableStack();
    const jsonl = stack.use(new JsonlSink(`${this.path}/${METRICS}`));
    if (this.#config.log.tensorboard) {
      const { from } = this.#opening;
      const folder = `${this.path}/${TENSORBOARD}`;
      this.#tensorboard = stack.use(new TensorBoardSink(folder, this.#config, { from }));
    }
    this.#metrics = this.#tensorboard === null
      ? jsonl
      : new MetricsSinks([jsonl, this.#tensorboard]);
    stack.move();
  }

  /** Where the run's figures go. */
  get metrics(): MetricsSink {
    this.begin();
    return this.#metrics!;
  }

  /**
   * Appends a sample to `samples.txt`, and to the events where there are any.
   *
   * @param sample The text and the step it was drawn at.
   * @throws {FileError} It cannot be written.
   */
  appendSample(sample: Sample): void {
    this.begin();
    appendSample(`${this.path}/${SAMPLES}`, sample);
    this.#tensorboard?.writeSample(sample);
  }

  /**
   * Writes a checkpoint, and first makes sure that the figures up to it are on the disk.
   *
   * @param contents What to write.
   * @param keep How many of the newest to keep; 0: all.
   * @returns The new checkpoint's folder.
   * @throws {FileError} It cannot be written; the checkpoints before are as they were.
   */
  writeCheckpoint(contents: CheckpointContents, keep: number): CheckpointFolder {
    this.metrics.flush();
    return writeCheckpoint(`${this.path}/${CHECKPOINTS}`, contents, keep);
  }

  /** Closes the figures and gives back the lock; undoes what was made for a run that did not begin. */
  [Symbol.dispose](): void {
    if (this.#metrics === null) return this.#opening.undo();
    this.#metrics[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }
}

/**
 * Finds the run that a path names and reads its configuration.
 *
 * @param path A run directory, or one of its checkpoints' folders to go on from that one.
 * @returns The run.
 * @throws {ConfigError} There is no run at the path, or its configuration cannot be used.
 *
 * @example
 * ```ts
 * import { assert, assertThrows } from "@std/assert";
 * import { findRun, parseConfig, RunDirectory } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * {
 *   using directory = RunDirectory.create(parseConfig({ preset: "pico", out: `${folder}/run` }));
 *   directory.begin();
 * }
 * assert(findRun(`${folder}/run`).config.preset === "pico");
 * assertThrows(() => findRun(`${folder}/none`), TypeError, "Cannot open the run");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function findRun(path: string): FoundRun {
  const [, run, name] = /^(.*)\/checkpoints\/(step-\d+)\/*$/.exec(path) ?? [];
  const directory = run ?? path.replace(/(?<=.)\/+$/, "");
  const file = `${directory}/${CONFIG}`;
  const fail = (reason: string, cause?: unknown): never => {
    throw new ConfigError(`Cannot open the run ${path}: ${reason}`, { cause });
  };
  let input: unknown;
  try {
    input = JSON.parse(Deno.readTextFileSync(file));
  } catch (cause) {
    if (cause instanceof SyntaxError) fail(`${file} is not JSON (${cause.message})`, cause);
    if (!exists(directory)) fail("there is no such folder", cause);
    if (!exists(file)) fail(`it is no run directory, ${CONFIG} is missing there`, cause);
    return fail(`cannot read ${file}: ${systemReason(cause)}`, cause);
  }
  return {
    path: directory,
    checkpoint: name === undefined ? null : `${directory}/${CHECKPOINTS}/${name}`,
    config: parseConfig(input, { source: file }),
  };
}

function checkUnused(path: string): void {
  const names = onPath("use", path, () => Array.from(Deno.readDirSync(path), ({ name }) => name));
  const [stranger] = names.filter((name) => name !== LOCK);
  if (stranger === undefined) return;
  const reason = !names.includes(CONFIG)
    ? `it is not empty (${stranger}); choose another directory`
    : listCheckpoints(`${path}/${CHECKPOINTS}`).length > 0
    ? "it holds one; resume it, or choose another directory"
    : "it holds one that ended before its first checkpoint; remove it, or choose another directory";
  throw new ConfigError(`Cannot start a run in ${path}: ${reason}`);
}

/** The folder of a run without a name of its own, and all folders made for it, innermost first. */
function newFolder(
  config: TrainConfig,
  { parent = ".", now = new Date() }: CreateRunOptions,
): { path: string; made: string[] } {
  const { preset, seed, moe } = config;
  const date = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  const experts = moe.router === "dense" ? "" : `-e${moe.experts}k${moe.active}g${moe.granularity}`;
  const made = makeFolders(`${parent}/runs`);
  const base = `${parent}/runs/${date}-${preset}-${moe.router}${experts}-s${seed}`;
  // Runs that start within one second, as sweeps do.
  for (let index = 1;; index++) {
    const path = index === 1 ? base : `${base}-${index}`;
    if (claim(path)) return { path, made: [path, ...made] };
  }
}

/** Makes a folder that is not there yet; of two processes only one succeeds. */
function claim(path: string): boolean {
  return onPath("make the run directory", path, () => {
    try {
      Deno.mkdirSync(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
  });
}

/** Makes a folder and those above it; returns the ones that were not there, innermost first. */
function makeFolders(path: string): string[] {
  return onPath("make the run directory", path, () => {
    const missing: string[] = [];
    for (let at = path; isMissing(at); at = dirname(at)) missing.push(at);
    Deno.mkdirSync(path, { recursive: true });
    return missing;
  });
}

/** A folder that may not be looked at is there, or is not this program's to make. */
function isMissing(path: string): boolean {
  try {
    return !exists(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/** A folder in which something was put meanwhile stays. */
function removeIfEmpty(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is not empty, or gone.
  }
}

function configText(config: TrainConfig): string {
  return `${JSON.stringify(config, null, 2)}\n`;
}
