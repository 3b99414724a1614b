/**
 * Crash-safe file writing: a crash leaves the old contents or the new ones, never a mixture.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { FileError } from "./errors.ts";
import { systemReason } from "./system_reason.ts";

/**
 * Runs a file operation and turns system errors into a {@linkcode FileError} that names the path.
 *
 * @param action The verb for messages, such as `write`.
 * @param path The file or folder.
 * @param act The operation.
 * @returns What `act` returned.
 * @throws {FileError} If the system refused. Other errors pass through unchanged.
 */
export function onPath<T>(action: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new FileError(`Cannot ${action} ${path}: ${systemReason(cause)}`, path, { cause });
  }
}

/** Whether an error comes from the operating system or Deno's permissions. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error &&
    ("code" in error || / \(os error \d+\)/.test(error.message) ||
      error instanceof Deno.errors.NotCapable);
}

/**
 * Writes all bytes; a single system call may write fewer.
 *
 * @param file An open file.
 * @param bytes What to write.
 */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) {
    written += file.writeSync(bytes.subarray(written));
  }
}

/** An open file whose errors name its path, also after it was closed. Closing twice is harmless. */
export class OpenFile implements Disposable {
  /** The file's path. */
  readonly path: string;
  readonly #action: string;
  #file: Deno.FsFile | null;

  /**
   * Opens a file.
   *
   * @param action The verb for messages, such as `write`.
   * @param path The file.
   * @param options How to open it. Default for reading.
   * @throws {TypeError} If the path is invalid.
   * @throws {FileError} If it cannot be opened.
   */
  constructor(action: string, path: string, options: Deno.OpenOptions = { read: true }) {
    this.path = path;
    this.#action = action;
    this.#file = onPath(action, path, () => Deno.openSync(path, options));
  }

  /**
   * Deno's handle of the file.
   *
   * @throws {FileError} If it was closed.
   */
  get handle(): Deno.FsFile {
    if (this.#file !== null) return this.#file;
    throw new FileError(`Cannot ${this.#action} ${this.path}: it was closed`, this.path);
  }

  /**
   * Writes all bytes.
   *
   * @param bytes What to write.
   * @throws {FileError} If they cannot be written; some of them may have been.
   */
  append(bytes: Uint8Array): void {
    onPath(this.#action, this.path, () => writeAllSync(this.handle, bytes));
  }

  /**
   * Flushes everything written to disk.
   *
   * @throws {FileError} If the system refused.
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
 * Matches the suffix of a temporary file of {@linkcode writeAtomically}. A process killed while
 * writing leaves one behind, which may be removed when no other process is writing.
 */
export const TEMPORARY: RegExp = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Writes a file atomically: to a unique temporary name, synced to disk, then renamed.
 *
 * @param path The file.
 * @param contents The contents, strings in UTF-8; or a function that writes and syncs the file at a
 * given path.
 * @throws {FileError} If it cannot be written. The old contents stay; no temporary file is left.
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
 * Flushes a folder's entries to disk: without it a rename may be lost even though the file's
 * contents are safe. Windows cannot open a folder, and need not sync it.
 *
 * @param path The folder.
 */
export function syncDirectory(path: string): void {
  if (Deno.build.os === "windows") return;
  using directory = Deno.openSync(path);
  directory.syncSync();
}

/**
 * Removes a file or folder recursively and ignores failures: for cleaning up after an error that
 * matters more than one from the clean-up.
 *
 * @param path What to remove.
 */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // It does not exist, or cannot be removed.
  }
}

/**
 * Tells whether a path exists.
 *
 * @param path The path.
 * @returns Whether it does.
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

/** Size and hash of a file, as a checkpoint's marker records them. */
export interface FileDigest {
  /** Size in bytes. */
  readonly bytes: number;
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
}

/**
 * Computes the size and SHA-256 of a file without loading all of it.
 *
 * @param path The file.
 * @returns Both.
 * @throws {FileError} If the file cannot be read.
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
