import { basename, join, resolve } from "node:path";

import type { Document, TextSource } from "./document.ts";
import { DataError } from "./errors.ts";

/** Reads the documents of one file. Another format is another reader. */
type Reader = (path: string, id: string) => AsyncIterable<Document>;

const READERS: ReadonlyMap<string, Reader> = new Map([[".txt", readPlainText]]);
const READABLE = [...READERS.keys()].join(", ");

/** V8 holds no string of 2^29 characters; the decoder's own error would not say so. */
const LARGEST_FILE = 2 ** 29 - 25;

/** A file to read, and what to call its text. */
interface Entry {
  readonly path: string;
  readonly id: string;
}

/**
 * Makes a source of text files: each `.txt` file is a document of UTF-8.
 *
 * Folders are read recursively in the order of their paths; hidden files, empty files, files of
 * other kinds and links to folders are passed over there. A file that several paths reach is read
 * once: its copies could otherwise end on both sides of a split. A byte-order mark is dropped;
 * line ends stay as they are.
 *
 * Reading the documents throws a {@linkcode DataError} for a path that is missing or unreadable,
 * for a file that is empty, binary or not UTF-8, and for a folder without text.
 *
 * @param paths Files and folders, relative ones from the current folder.
 * @returns The source; nothing is read before its documents are asked for.
 * @throws {DataError} If there are no paths.
 *
 * @example
 * ```ts
 * import { textFiles } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${folder}/b.txt`, "Second.");
 * await Deno.writeTextFile(`${folder}/a.txt`, "First.");
 * const documents = await Array.fromAsync(textFiles([folder]).documents());
 * assertEquals(documents.map((document) => document.text), ["First.", "Second."]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function textFiles(paths: readonly string[]): TextSource {
  if (paths.length === 0) throw new DataError("Cannot read text: no file or folder was given");
  return {
    name: paths.join(", "),
    documents: () => readPaths(paths),
  };
}

async function* readPaths(paths: readonly string[]): AsyncGenerator<Document> {
  const seen = new Set<string>();
  for (const path of paths) {
    for (const { path: file, id } of await entriesOf(path)) {
      const real = await attempt(file, () => Deno.realPath(file));
      if (seen.has(real)) continue;
      seen.add(real);
      yield* readerOf(file)!(file, id);
    }
  }
}

async function entriesOf(path: string): Promise<Entry[]> {
  const root = basename(resolve(path));
  const info = await attempt(path, () => Deno.stat(path));
  if (info.isDirectory) {
    const names = (await filesBelow(path, "")).sort();
    if (names.length === 0) {
      throw new DataError(
        `Cannot read text from the folder ${path}: it holds no file with text named *${READABLE}`,
      );
    }
    return names.map((name) => ({ path: join(path, name), id: `${root}/${name}` }));
  }
  if (!info.isFile) throw new DataError(`Cannot read ${path}: it is neither a file nor a folder`);
  if (readerOf(path) === undefined) {
    throw new DataError(`Cannot read ${path}: text comes from files named *${READABLE}`);
  }
  if (info.size === 0) throw new DataError(`Cannot read ${path}: the file is empty`);
  return [{ path, id: root }];
}

/** Names below `folder`, with "/" on every platform: the order must not depend on it. */
async function filesBelow(folder: string, prefix: string): Promise<string[]> {
  const names: string[] = [];
  const entries = await attempt(folder, () => Array.fromAsync(Deno.readDir(folder)));
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    const name = prefix + entry.name;
    if (entry.isDirectory) {
      names.push(...await filesBelow(path, `${name}/`));
    } else if (readerOf(entry.name) !== undefined) {
      const info = await attempt(path, () => Deno.stat(path));
      if (info.isFile && info.size > 0) names.push(name);
    }
  }
  return names;
}

function readerOf(path: string): Reader | undefined {
  const dot = path.lastIndexOf(".");
  return dot < 0 ? undefined : READERS.get(path.slice(dot).toLowerCase());
}

async function* readPlainText(path: string, id: string): AsyncGenerator<Document> {
  const bytes = await attempt(path, () => Deno.readFile(path));
  if (bytes.length > LARGEST_FILE) {
    throw new DataError(
      `Cannot read ${path}: ${bytes.length} bytes are more than one document may have ` +
        `(${LARGEST_FILE}), split the file into several`,
    );
  }
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    throw new DataError(`Cannot read ${path} as text: byte ${zero} is NUL, the file is binary`);
  }
  const text = decodeUtf8(bytes, path);
  if (text === "") throw new DataError(`Cannot read ${path}: the file holds no text`);
  yield { id, text };
}

function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`Cannot read ${path} as text: it is not UTF-8, convert it first`, {
      cause,
    });
  }
}

async function attempt<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.NotFound) return "there is no such file or folder";
  if (cause instanceof Deno.errors.PermissionDenied) return "the system does not allow it";
  if (cause instanceof Deno.errors.NotCapable) return "run Deno with --allow-read for this path";
  return cause instanceof Error ? cause.message : String(cause);
}
