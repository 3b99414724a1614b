/**
 * Writing files so that a crash leaves the old or the new, and nothing in between.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { FileError } from "./errors.ts";
import { systemReason } from "./system_reason.ts";

/**
 * Does something with a file or a folder, and names it where the system refuses.
 *
 * @param action What is done, like `write`.
 * @param path The file or folder.
 * @param act Does it.
 * @returns What `act` returned.
 * @throws {FileError} The system refused; errors that already say what was done pass as they are.
 */
export function onPath<T>(action: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new FileError(`Cannot ${action} ${path}: ${systemReason(cause)}`, path, { cause });
  }
}

/** Whether an error comes from the system and not from this program. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error &&
    ("code" in error || / \(os error \d+\)/.test(error.message) ||
      error instanceof Deno.errors.NotCapable);
}

/**
 * Writes all bytes; a single write may take fewer than it is given.
 *
 * @param file An open file.
 * @param bytes What to write.
 */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) {
    written += file.writeSync(bytes.subarray(written));
  }
}

/** An open file that names itself where it is used after its end; closing it again does nothing. */
export class OpenFile implements Disposable {
  /** The file's path. */
  readonly path: string;
  readonly #action: string;
  #file: Deno.FsFile | null;

  /**
   * Opens a file.
   *
   * @param action What is done with it, like `write`.
   * @param path The file.
   * @param options How it is opened; default for reading.
   * @throws {TypeError} The path is none.
   * @throws {FileError} It cannot be opened.
   */
  constructor(action: string, path: string, options: Deno.OpenOptions = { read: true }) {
    this.path = path;
    this.#action = action;
    this.#file = onPath(action, path, () => Deno.openSync(path, options));
  }

  /**
   * The file as Deno knows it.
   *
   * @throws {FileError} It was closed.
   */
  get handle(): Deno.FsFile {
    if (this.#file !== null) return this.#file;
    throw new FileError(`Cannot ${this.#action} ${this.path}: it was closed`, this.path);
  }

  /**
   * Writes all bytes.
   *
   * @param bytes What to write.
   * @throws {FileError} They cannot be written; a piece of them may be.
   */
  append(bytes: Uint8Array): void {
    onPath(this.#action, this.path, () => writeAllSync(this.handle, bytes));
  }

  /**
   * Waits until what was written is on the disk.
   *
   * @throws {FileError} The system refused.
   */
  sync(): void {
    onPath(this.#action, this.path, () => this.handle.syncSync());
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = null;
  }
}

/**
 * The end of a name under which a file is being written. A program killed meanwhile leaves it behind;
 * whoever knows that nobody writes may remove it.
 */
export const TEMPORARY: RegExp = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Writes a file so that its name only ever stands for the whole of it: under a temporary name of its
 * own, synced to the disk, then renamed.
 *
 * @param path The file.
 * @param contents What it holds, a text in UTF-8; or what writes and syncs a file of a given name.
 * @throws {FileError} It cannot be written; what it held before stays, and nothing else is left.
 */
export function writeAtomically(
  path: string,
  contents: string | Uint8Array | ((temporary: string) => void),
): void {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  onPath("write", path, () => {
    try {
      if (typeof contents === "function") contents(temporary);
      else writeSynced(temporary, contents);
      Deno.renameSync(temporary, path);
    } catch (error) {
      removeIfThere(temporary);
      throw error;
    }
    syncDirectory(dirname(path));
  });
}

function writeSynced(path: string, contents: string | Uint8Array): void {
  using file = Deno.openSync(path, { write: true, createNew: true });
  writeAllSync(file, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
  file.syncSync();
}

/**
 * Waits until the names in a folder are on the disk: without it a rename may be lost although the
 * file's contents are not. Windows can neither open nor needs to sync a folder.
 *
 * @param path The folder.
 */
export function syncDirectory(path: string): void {
  if (Deno.build.os === "windows") return;
  using directory = Deno.openSync(path);
  directory.syncSync();
}

/**
 * Removes a file or a folder with all it holds, as far as possible: for cleaning up after an error
 * that is worth more than one from the cleaning.
 *
 * @param path What to remove.
 */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // It was not there, or cannot be removed either.
  }
}

/**
 * Tells whether there is something at a path.
 *
 * @param path The path.
 * @returns Whether there is.
 */
export function exists(path: string): boolean {
  return onPath("read", path, () => {
    try {
      Deno.statSync(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return false;
      }
      throw error;
    }
  });
}

/** Size and content of a file, as a checkpoint's marker keeps them. */
export interface FileDigest {
  /** Bytes of the file. */
  readonly bytes: number;
  /** SHA-256 of the file in hexadecimal. */
  readonly sha256: string;
}

/**
 * Works out the size and SHA-256 of a file, piece by piece.
 *
 * @param path The file.
 * @returns Both.
 * @throws {FileError} The file cannot be read.
 */
export function digestFile(path: string): FileDigest {
  return onPath("read", path, () => {
    using file = Deno.openSync(path);
    const hash = createHash("sha256");
    const buffer = new Uint8Array(1 << 22);
    let bytes = 0;
    for (let count = file.readSync(buffer); count !== null; count = file.readSync(buffer)) {
      hash.update(buffer.subarray(0, count));
      bytes += count;
    }
    return { bytes, sha256: hash.digest("hex") };
  });
}
