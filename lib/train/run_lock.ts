/**
 * One process a run directory.
 *
 * @module
 */

import { writeAllSync } from "./files.ts";

/**
 * A lock on a file, held until disposal or the end of the process. It is the system's own file
 * lock: one that a killed process left behind does not count, so nothing ever has to be deleted by
 * hand. The file names the holder's process id for whoever comes second.
 */
export class RunLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Takes the lock.
   *
   * @param path The lock's file; made where it is missing.
   * @returns The lock.
   * @throws {Deno.errors.Busy} Another process holds it; names that process.
   */
  static acquire(path: string): RunLock {
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    if (!file.tryLockSync(true)) {
      file.close();
      const holder = Deno.readTextFileSync(path).trim();
      throw new Deno.errors.Busy(
        `Cannot use the run directory: process ${holder} is training in it (${path})`,
      );
    }
    file.truncateSync();
    writeAllSync(file, new TextEncoder().encode(`${Deno.pid}\n`));
    return new RunLock(file);
  }

  /** Gives the lock back. The file stays: to remove it would let two processes lock two files. */
  [Symbol.dispose](): void {
    this.#file.truncateSync();
    this.#file.close();
  }
}
