/**
 * The folder of a comparison: one folder per run, found by the run's identity and not by its name,
 * so a changed command reuses every run it has in common with an earlier one.
 *
 * @module
 */

import { listCheckpoints } from "../checkpoint/folders.ts";
import type { TrainConfig } from "../config/config.ts";
import { withEarlierDefaults } from "../config/earlier_defaults.ts";
import { parseConfig } from "../config/parse_config.ts";
import { ConfigError } from "../errors.ts";
import { exists, onPath, removeIfThere, writeAtomically } from "../files.ts";
import { CHECKPOINTS, CONFIG } from "../run/find_run.ts";
import { RunLock } from "../run/lock.ts";
import { runIdentity } from "./plan.ts";
import { readRunResult, type RunResult } from "./run_result.ts";

const RUNS = "runs";
/** Identity of a run: configuration and instruction set. */
const RECORD = "run.json";
const RESULT = "result.json";
const FAILURE = "failure.json";

/** How far a run has got. */
export type RunState = "new" | "begun" | "finished";

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
  #result: RunResult | null;

  constructor(root: string, name: string, config: TrainConfig, isa: string | null) {
    this.name = name;
    this.path = `${root}/${RUNS}/${name}`;
    this.config = { ...config, out: `${this.path}/run` };
    this.isa = isa;
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
   * @throws {ConfigError} If the metrics are incomplete.
   */
  finish(dropWeights: boolean): RunResult {
    if (this.#result === null) {
      this.#result = readRunResult(this.directory, this.config);
      writeAtomically(`${this.path}/${RESULT}`, `${JSON.stringify(this.#result)}\n`);
    }
    // Only now: until the result is saved, the last checkpoint marks the run as finished.
    if (dropWeights) removeIfThere(`${this.directory}/${CHECKPOINTS}`);
    return this.#result;
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

/** The runs of a comparison's folder. */
export class RunStore implements Disposable {
  readonly #root: string;
  readonly #lock: RunLock | null;
  readonly #runs = new Map<string, StoredRun>();

  private constructor(root: string, lock: RunLock | null) {
    this.#root = root;
    this.#lock = lock;
    for (const name of foldersIn(`${root}/${RUNS}`)) {
      const file = `${root}/${RUNS}/${name}/${RECORD}`;
      if (!exists(file)) continue;
      const { config, isa } = readJson(file) as { config: unknown; isa: string | null };
      const whole = parseConfig(withEarlierDefaults(config), { source: file });
      const run = new StoredRun(root, name, whole, isa);
      this.#runs.set(runIdentity(run.config, isa), run);
    }
  }

  /**
   * Opens a comparison's folder and locks it.
   *
   * @param root The folder; created if missing.
   * @returns The open folder.
   * @throws {ConfigError} If it holds something else.
   * @throws {FileError} If another process compares in it, or it cannot be written to.
   */
  static open(root: string): RunStore {
    onPath("make", root, () => Deno.mkdirSync(`${root}`, { recursive: true }));
    const isOurs = exists(`${root}/.lock`) || exists(`${root}/results.json`);
    const [stranger] = isOurs
      ? []
      : onPath("read", root, () => Array.from(Deno.readDirSync(root), ({ name }) => name));
    if (stranger !== undefined) {
      throw new ConfigError(
        `Cannot compare in ${root}: it is not empty (${stranger}) and holds no comparison; choose ` +
          `another directory`,
      );
    }
    const words = { cannot: "Cannot compare in this folder:", holder: "is comparing in it" };
    return new RunStore(root, RunLock.acquire(`${root}/.lock`, words));
  }

  /**
   * Reads a comparison's folder without locking it; others may write to it meanwhile.
   *
   * @param root The folder; a missing one has no runs.
   * @returns The runs.
   */
  static look(root: string): RunStore {
    return new RunStore(root, null);
  }

  /**
   * Finds a run.
   *
   * @param config Its configuration.
   * @param isa Its instruction set, or null.
   * @returns The run; undefined if it has no folder.
   */
  find(config: TrainConfig, isa: string | null): StoredRun | undefined {
    return this.#runs.get(runIdentity(config, isa));
  }

  /**
   * Finds a run, or creates its folder.
   *
   * @param name Name of a new folder; made unique.
   * @param config Its configuration.
   * @param isa Its instruction set, or null.
   * @returns The run.
   * @throws {FileError} If the folder cannot be written.
   */
  obtain(name: string, config: TrainConfig, isa: string | null): StoredRun {
    const found = this.find(config, isa);
    if (found !== undefined) return found;
    const run = new StoredRun(this.#root, this.#freeName(name), config, isa);
    onPath("make", run.path, () => Deno.mkdirSync(run.path, { recursive: true }));
    const record = { format: 1, isa, config: { ...config, out: null } };
    writeAtomically(`${run.path}/${RECORD}`, `${JSON.stringify(record, null, 2)}\n`);
    this.#runs.set(runIdentity(config, isa), run);
    return run;
  }

  #freeName(name: string): string {
    const base = name.replaceAll(/[^\w.=]+/g, "-");
    for (let index = 1;; index++) {
      const candidate = index === 1 ? base : `${base}-${index}`;
      if (!exists(`${this.#root}/${RUNS}/${candidate}`)) return candidate;
    }
  }

  /** Unlocks the folder. */
  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
  }
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

function savedResult(file: string): RunResult | null {
  if (!exists(file)) return null;
  const result = readJson(file) as Partial<RunResult>;
  // One of another version is recomputed.
  return result.format === 1 ? result as RunResult : null;
}

function readJson(file: string): unknown {
  const text = onPath("read", file, () => Deno.readTextFileSync(file));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`Cannot read ${file}: it is not JSON; remove it`, { cause });
  }
}

function foldersIn(path: string): string[] {
  if (!exists(path)) return [];
  return onPath(
    "read",
    path,
    () => Array.from(Deno.readDirSync(path)).filter((it) => it.isDirectory).map((it) => it.name),
  ).sort();
}
