/**
 * The folder of a comparison: one folder per run, found by the run's identity and not by its name,
 * so a changed command reuses every run it has in common with an earlier one.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { exists, onPath } from "../files.ts";
import { RunLock } from "../run/lock.ts";
import { runIdentity } from "./plan.ts";
import { type RunRecord, RUNS, savedRecord, StoredRun, writeRecord } from "./stored_run.ts";
import type { Texts } from "./texts.ts";

/** The runs of a comparison's folder. */
export class RunStore implements Disposable {
  readonly #root: string;
  readonly #texts: Texts;
  readonly #lock: RunLock | null;
  readonly #runs = new Map<string, StoredRun>();

  private constructor(root: string, texts: Texts, lock: RunLock | null) {
    this.#root = root;
    this.#texts = texts;
    this.#lock = lock;
    for (const name of foldersIn(`${root}/${RUNS}`)) {
      const record = savedRecord(`${root}/${RUNS}/${name}`, texts);
      if (record === null) continue;
      this.#runs.set(keyOf(record), new StoredRun(root, name, record));
    }
  }

  /**
   * Opens a comparison's folder and locks it.
   *
   * @param root The folder; created if missing.
   * @param texts What the runs' texts hold now.
   * @returns The open folder.
   * @throws {ConfigError} If it holds something else.
   * @throws {FileError} If another process compares in it, or it cannot be written to.
   */
  static open(root: string, texts: Texts): RunStore {
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
    return new RunStore(root, texts, RunLock.acquire(`${root}/.lock`, words));
  }

  /**
   * Reads a comparison's folder without locking it; others may write to it meanwhile.
   *
   * @param root The folder; a missing one has no runs.
   * @param texts What the runs' texts hold now.
   * @returns The runs.
   */
  static look(root: string, texts: Texts): RunStore {
    return new RunStore(root, texts, null);
  }

  /**
   * Finds a run on the text as it is now.
   *
   * @param config Its configuration.
   * @param isa Its instruction set, or null.
   * @returns The run; undefined if it has no folder.
   */
  find(config: TrainConfig, isa: string | null): StoredRun | undefined {
    return this.#runs.get(keyOf(this.#record(config, isa)));
  }

  /** Runs whose text has the paths of a text of this comparison, but held something else. */
  get outdated(): StoredRun[] {
    return [...this.#runs.values()].filter(({ config: { data }, text }) => {
      const now = this.#texts.of(data);
      return now !== undefined && now !== text;
    });
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
    const record = this.#record(config, isa);
    const run = new StoredRun(this.#root, this.#freeName(name), record);
    writeRecord(run);
    this.#runs.set(keyOf(record), run);
    return run;
  }

  #record(config: TrainConfig, isa: string | null): RunRecord {
    return { config, isa, text: this.#texts.of(config.data) ?? null };
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

function keyOf({ config, isa, text }: RunRecord): string {
  return JSON.stringify([runIdentity(config, isa), text]);
}

function foldersIn(path: string): string[] {
  if (!exists(path)) return [];
  return onPath(
    "read",
    path,
    () => Array.from(Deno.readDirSync(path)).filter((it) => it.isDirectory).map((it) => it.name),
  ).sort();
}
