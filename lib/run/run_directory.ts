/**
 * The folder of a run: its configuration, metrics, samples and checkpoints.
 *
 * @module
 */

import { requireConfig } from "../config/require.ts";
import { requireObject, requirePath } from "../arguments.ts";
import { ConfigError, FileError } from "../errors.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import {
  type CheckpointFolder,
  listCheckpoints,
  removeLaterCheckpoints,
} from "../checkpoint/folders.ts";
import type { DeviceInfo } from "../autograd/device_options.ts";
import { withComputeType, withTypeOf } from "../config/compute_type.ts";
import type { TrainConfig } from "../config/config.ts";
import { differences, valuesByKey } from "../config/values_by_key.ts";
import { exists, onPath, writeAtomically } from "../files.ts";
import { CHECKPOINTS, CONFIG, type FoundRun, METRICS } from "./find_run.ts";
import {
  checkMetrics,
  JsonlSink,
  type MetricsSink,
  MetricsSinks,
  truncateMetrics,
} from "./metrics.ts";
import { checkResumable, checkWrittenUnder } from "../checkpoint/resume.ts";
import {
  type CreateRunOptions,
  makeFolders,
  newFolder,
  removeIfEmpty,
  requireFolderOptions,
} from "./folder.ts";
import { RunLock } from "./lock.ts";
import { appendSample, type Sample, truncateSamples } from "./samples.ts";
import { truncateEvents } from "./tensorboard/event_file.ts";
import { TensorBoardSink } from "./tensorboard/sink.ts";
import { copyTokenizer, withRelativeTokenizer } from "./tokenizer_file.ts";
import { type CheckpointContents, writeCheckpoint } from "../checkpoint/write_checkpoint.ts";

const SAMPLES = "samples.txt";
const TENSORBOARD = "tensorboard";
const LOCK = ".lock";

// Give training the private configuration, which users have no need for.
let configOf: (directory: RunDirectory) => TrainConfig;
let settleConfig: (directory: RunDirectory, config: TrainConfig) => void;

/** How a directory was opened. */
interface Opening {
  /** Steps already taken. */
  readonly from: number;
  /** For a resumed run, drops what follows its checkpoint. */
  readonly prepare: () => void;
  /** Releases the lock and leaves a directory whose run did not begin as it was. */
  readonly undo: () => void;
}

/**
 * An open run directory, locked against a second process.
 *
 * Nothing in it is written or dropped before {@linkcode RunDirectory.begin}: a run that cannot
 * begin because its text or its checkpoint proves unusable leaves everything as it was.
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
  static {
    configOf = (directory) => directory.#config;
    settleConfig = (directory, config) => {
      if (directory.#metrics === null) directory.#config = config;
    };
  }

  /** The directory. */
  readonly path: string;
  readonly #lock: RunLock;
  #config: TrainConfig;
  readonly #opening: Opening;
  #metrics: MetricsSink | null = null;
  #isClosed = false;
  #tensorboard: TensorBoardSink | null = null;

  private constructor(path: string, lock: RunLock, config: TrainConfig, opening: Opening) {
    this.path = path;
    this.#lock = lock;
    this.#config = config;
    this.#opening = opening;
  }

  /**
   * Creates the directory of a new run.
   *
   * @param config The run's configuration; `out` names the directory, null asks for a new one
   * `runs/<date>-<preset>-<router>-e<E>k<k>g<G>-<up to three settings unlike the preset>-s<seed>`.
   * @param options Where `runs/` is.
   * @returns The open directory; dispose of it to release the lock. If the run did not begin, the
   * directory created for it is then removed.
   * @throws {TypeError} An option has the wrong type.
   * @throws {ConfigError} The directory is not empty.
   * @throws {FileError} It cannot be created or written to, or another process trains in it.
   */
  static create(config: TrainConfig, options: CreateRunOptions = {}): RunDirectory {
    requireConfig(config);
    requireFolderOptions(options);
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
    // Only now, under the lock: while another process trains, its files are not an abandoned run.
    checkUnused(path);
    const undo = stack.move();
    // Written later, and the caller may change the object in the meantime.
    const own = structuredClone(config);
    return new RunDirectory(path, lock, own, {
      from: 0,
      prepare: () => {},
      undo: () => undo.dispose(),
    });
  }

  /**
   * Opens the directory of a run to resume it. When the run begins, everything written after the
   * checkpoint is dropped: metrics, samples, events, later checkpoints.
   *
   * @param run The run.
   * @param config The configuration to continue with, written when the run begins; a type of `auto`
   * keeps that of the run.
   * @returns The open directory and the open checkpoint; dispose of both.
   * @throws {ConfigError} The configuration asks for another model or other data.
   * @throws {CheckpointError} There is no complete checkpoint, or it is damaged or was written
   * under another configuration.
   * @throws {SyntaxError} The metrics are damaged; names the line.
   * @throws {FileError} The directory cannot be read or written to, or another process trains in
   * it.
   */
  static resume(
    run: FoundRun,
    config: TrainConfig,
  ): { directory: RunDirectory; checkpoint: Checkpoint } {
    requireObject("resume", "run", run);
    checkResumable(run.config, config);
    const { path } = run;
    requirePath("resume", "run.path", path);
    if (run.checkpoint !== null) requirePath("resume", "run.checkpoint", run.checkpoint);
    using stack = new DisposableStack();
    const lock = stack.use(RunLock.acquire(`${path}/${LOCK}`));
    const checkpoint = stack.use(
      run.checkpoint === null
        ? Checkpoint.openNewest(`${path}/${CHECKPOINTS}`)
        : Checkpoint.open(run.checkpoint),
    );
    const { step } = checkpoint.state;
    const own = structuredClone(withTypeOf(run.config, config));
    checkWrittenUnder("Cannot resume", checkpoint, own, `${path}/${CONFIG} holds now`);
    if (exists(`${path}/${METRICS}`)) checkMetrics(`${path}/${METRICS}`);
    stack.move();
    const directory = new RunDirectory(path, lock, own, {
      from: step,
      prepare: () => {
        truncateMetrics(`${path}/${METRICS}`, step);
        truncateSamples(`${path}/${SAMPLES}`, step);
        truncateEvents(`${path}/${TENSORBOARD}`, step);
        removeLaterCheckpoints(`${path}/${CHECKPOINTS}`, step);
      },
      undo: () => lock[Symbol.dispose](),
    });
    return { directory, checkpoint };
  }

  /**
   * Begins the run: writes the configuration, and drops what a resumed run drops. Writing the first
   * metrics, sample or checkpoint calls it; a second call does nothing.
   *
   * @throws {FileError} The directory cannot be written to, or was closed: by now it may belong to
   * another process.
   */
  begin(): void {
    if (this.#isClosed) {
      throw new FileError(`Cannot write to the run ${this.path}: it was closed`, this.path);
    }
    if (this.#metrics !== null) return;
    this.#opening.prepare();
    copyTokenizer(this.#config, this.path);
    writeAtomically(`${this.path}/${CONFIG}`, configText(this.#config));
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

  /** The sink for the run's metrics. */
  get metrics(): MetricsSink {
    this.begin();
    return this.#metrics!;
  }

  /**
   * Appends a sample to `samples.txt`, and to the TensorBoard events if they are on.
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
   * Writes a checkpoint once the metrics up to it are on disk.
   *
   * @param contents What to write.
   * @param keep How many of the newest checkpoints to keep; 0 keeps all.
   * @returns The new checkpoint's folder.
   * @throws {FileError} It cannot be written; earlier checkpoints stay as they were.
   */
  writeCheckpoint(contents: CheckpointContents, keep: number): CheckpointFolder {
    this.metrics.flush();
    return writeCheckpoint(`${this.path}/${CHECKPOINTS}`, contents, keep);
  }

  /** Closes the metrics and releases the lock; removes what was created if no run began. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#metrics === null) return this.#opening.undo();
    this.#metrics[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }
}

/**
 * Refuses to train under a configuration that differs from the one a directory was opened with.
 *
 * @param directory The run's directory.
 * @param config The configuration to train under; its `out` is ignored.
 * @throws {ConfigError} Names each value that differs.
 */
export function requireConfigOf(directory: RunDirectory, config: TrainConfig): void {
  const opened = { ...configOf(directory), out: null };
  const given = withTypeOf(opened, { ...config, out: null });
  const changed = differences(valuesByKey(opened), valuesByKey(given));
  if (changed.length === 0) return;
  throw new ConfigError(
    `Cannot train under another configuration than ${directory.path} was opened with: ` +
      `${changed.join(", ")}; open the directory with the one to train under`,
  );
}

/**
 * Settles the type that a run computes in, before it begins: its `config.json` names it.
 *
 * @param directory The run's directory, opened with this configuration.
 * @param config The configuration.
 * @param device What will compute it.
 * @returns The configuration with the type: that of the run, if it is resumed.
 */
export function settleComputeType(
  directory: RunDirectory,
  config: TrainConfig,
  device: Pick<DeviceInfo, "bf16">,
): TrainConfig {
  const opened = withComputeType(configOf(directory), device);
  settleConfig(directory, opened);
  return withTypeOf(opened, config);
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

/** The text of a run's `config.json`. */
export function configText(config: TrainConfig): string {
  return `${JSON.stringify(withRelativeTokenizer(config), null, 2)}\n`;
}
