/**
 * One process per run directory.
 *
 * @module
 */

import { FileError } from "../errors.ts";
import { onPath, writeAllSync } from "../files.ts";

/** What a lock is for, worded for the error of whoever comes second. */
export interface LockWords {
  /** What cannot be done, with a colon. */
  readonly cannot: string;
  /** What its holder does, like `is training in it`. */
  readonly holder: string;
}

const OF_RUN: LockWords = {
  cannot: "Cannot use the run directory:",
  holder: "is training in it",
};

/**
 * A lock on a file, held until disposal or the end of the process. It is the operating system's
 * file lock, which ends with a killed process, so no stale lock ever has to be deleted by hand. The
 * file holds the process id of the holder, to be named to the next process.
 */
export class RunLock implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Takes the lock.
   *
   * @param path The lock file; created if missing.
   * @param words What it is for; default a run directory.
   * @returns The lock.
   * @throws {FileError} Another process holds it, which the message names; or the folder cannot be
   * written to.
   */
  static acquire(path: string, words: LockWords = OF_RUN): RunLock {
    for (;;) {
      const action = `${words.cannot.replace("Cannot ", "")} cannot write`;
      const lock = onPath(action, path, () => RunLock.#open(path, words));
      if (lock !== null) return lock;
    }
  }

  /** Takes the lock; null if a run that never began removed the file in the meantime. */
  static #open(path: string, { cannot, holder }: LockWords): RunLock | null {
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    if (!file.tryLockSync(true)) {
      file.close();
      const id = Deno.readTextFileSync(path).trim();
      throw new FileError(
        `${cannot} process ${id} ${holder} (${path}); wait for it, or choose another directory`,
        path,
      );
    }
    const lock = new RunLock(file, path);
    if (!lock.#isThere()) {
      file.close();
      return null;
    }
    try {
      file.truncateSync();
      writeAllSync(file, new TextEncoder().encode(`${Deno.pid}\n`));
    } catch (error) {
      lock.remove();
      throw error;
    }
    return lock;
  }

  /** Whether the path still names the locked file: otherwise another process may lock a new one. */
  #isThere(): boolean {
    try {
      return Deno.statSync(this.#path).ino === this.#file.statSync().ino;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** Releases the lock and removes its file, for a directory in which no run began. */
  remove(): void {
    if (Deno.build.os === "windows") this.#file.close();
    onPath("remove", this.#path, () => Deno.removeSync(this.#path));
    if (Deno.build.os !== "windows") this.#file.close();
  }

  /** Releases the lock. The file stays: the next process may be about to open it. */
  [Symbol.dispose](): void {
    try {
      onPath("write", this.#path, () => this.#file.truncateSync());
    } finally {
      this.#file.close();
    }
  }
}
