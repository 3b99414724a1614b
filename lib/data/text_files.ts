import { glob } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { sha256 } from "./content_hash.ts";
import type { Document, TextSource } from "./document.ts";
import { DataError } from "./errors.ts";
import {
  attempt,
  isTextFile,
  readTextFile,
  TEXT_EXTENSIONS,
  type TextFile,
} from "./text_readers.ts";

const READABLE = TEXT_EXTENSIONS.map((extension) => `*${extension}`).join(", ");

/** Characters that make a path a pattern. */
const PATTERN = /[*?[{]/;

/**
 * Makes a source of text files: `.txt`, each file a document, and `.jsonl`, each line a document
 * `{"text": "…", "domain": "…"}` whose domain may be left out; both also compressed (`.gz`), all of
 * them UTF-8.
 *
 * A path is a file, a folder, or a pattern such as `texts/*.jsonl.gz`. Folders are read
 * recursively in the order of their paths; hidden files, empty files, files of other kinds and
 * links to folders are passed over there. A file that several paths reach is read once: its copies
 * could otherwise end on both sides of a split. A byte-order mark is dropped; line ends stay as
 * they are; blank lines and rows with an empty text are passed over.
 *
 * A document's domain is what its row says; else the name before the path, as in `books=texts/a`;
 * else the name of the folder that holds the file, or of the first one below a folder that was
 * given.
 *
 * Reading the documents throws a {@linkcode DataError} for a path that is missing or unreadable,
 * for a file that is empty, binary, damaged or not UTF-8, for a row that is no such object (with the
 * number of its line), and for a folder or a pattern without text.
 *
 * @param paths Files, folders and patterns, relative ones from the current folder.
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
 * await Deno.writeTextFile(`${folder}/a.jsonl`, '{"text": "First.", "domain": "news"}\n');
 * const documents = await Array.fromAsync(textFiles([`tales=${folder}`]).documents());
 * assertEquals(
 *   documents.map(({ text, domain }) => [domain, text]),
 *   [["news", "First."], ["tales", "Second."]],
 * );
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function textFiles(paths: readonly string[]): TextSource {
  if (paths.length === 0) throw new DataError("Cannot read text: no file or folder was given");
  return {
    name: paths.join(", "),
    documents: () => readPaths(paths),
    identify: () => identify(paths),
  };
}

/**
 * Splits a path from the domain that may stand before it.
 *
 * @param path A path, or `domain=path`.
 * @returns Both; `domain` is undefined where the path names none.
 */
export function splitDomain(path: string): { domain: string | undefined; path: string } {
  const [, domain, rest] = /^([\w.-]+)=(.+)$/s.exec(path) ?? [];
  return rest === undefined ? { domain: undefined, path } : { domain, path: rest };
}

async function* readPaths(paths: readonly string[]): AsyncGenerator<Document> {
  for await (const file of filesOf(paths)) yield* readTextFile(file);
}

/** Changes with the files' names, sizes and times, which is what tools look at for a change. */
async function identify(paths: readonly string[]): Promise<string> {
  const facts: unknown[] = [];
  for await (const file of filesOf(paths)) {
    const { size, mtime } = await attempt(file.path, () => Deno.stat(file.path));
    const real = await attempt(file.path, () => Deno.realPath(file.path));
    facts.push([real, file.id, file.domain, size, mtime?.getTime()]);
  }
  return sha256(JSON.stringify(facts));
}

async function* filesOf(paths: readonly string[]): AsyncGenerator<TextFile> {
  const seen = new Set<string>();
  for (const given of paths) {
    const { domain, path } = splitDomain(given);
    for (const file of await filesAt(path)) {
      const real = await attempt(file.path, () => Deno.realPath(file.path));
      if (seen.has(real)) continue;
      seen.add(real);
      yield domain === undefined ? file : { ...file, domain };
    }
  }
}

async function filesAt(path: string): Promise<TextFile[]> {
  const info = await Deno.stat(path).catch(() => null);
  if (info === null && PATTERN.test(path)) return await filesMatching(path);
  if (info === null) await attempt(path, () => Deno.stat(path));
  if (info!.isDirectory) return await filesIn(path);
  if (!info!.isFile) throw new DataError(`Cannot read ${path}: it is neither a file nor a folder`);
  if (!isTextFile(path)) {
    throw new DataError(`Cannot read ${path}: text comes from files named ${READABLE}`);
  }
  if (info!.size === 0) throw new DataError(`Cannot read ${path}: the file is empty`);
  return [fileAt(path)];
}

function fileAt(path: string): TextFile {
  const absolute = resolve(path);
  return { path, id: basename(absolute), domain: basename(dirname(absolute)) };
}

async function filesMatching(pattern: string): Promise<TextFile[]> {
  const found = await attempt(pattern, () => Array.fromAsync(glob(pattern)));
  const files: string[] = [];
  for (const path of found.sort()) {
    const { isFile, size } = await attempt(path, () => Deno.stat(path));
    if (isFile && size > 0 && isTextFile(path)) files.push(path);
  }
  if (files.length === 0) {
    throw new DataError(`Cannot read ${pattern}: no file with text (${READABLE}) matches it`);
  }
  // Files of one name in several folders are told apart by the folder.
  return files.map((path) => {
    const file = fileAt(path);
    return { ...file, id: `${file.domain}/${file.id}` };
  });
}

async function filesIn(folder: string): Promise<TextFile[]> {
  const root = basename(resolve(folder));
  const names = (await namesBelow(folder, "")).sort();
  if (names.length === 0) {
    throw new DataError(
      `Cannot read text from the folder ${folder}: it holds no file with text named ${READABLE}`,
    );
  }
  return names.map((name) => {
    const slash = name.indexOf("/");
    const domain = slash < 0 ? root : name.slice(0, slash);
    return { path: join(folder, name), id: `${root}/${name}`, domain };
  });
}

/** Names below `folder`, with "/" on every platform: the order must not depend on it. */
async function namesBelow(folder: string, prefix: string): Promise<string[]> {
  const names: string[] = [];
  const entries = await attempt(folder, () => Array.fromAsync(Deno.readDir(folder)));
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    const name = prefix + entry.name;
    if (entry.isDirectory) {
      names.push(...await namesBelow(path, `${name}/`));
    } else if (isTextFile(entry.name)) {
      const info = await attempt(path, () => Deno.stat(path));
      if (info.isFile && info.size > 0) names.push(name);
    }
  }
  return names;
}
