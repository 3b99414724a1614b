import { glob } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { requirePath, shown } from "../../arguments.ts";
import { sha256 } from "./content_hash.ts";
import type { Document, PassedOver, ReadingObserver, TextSource } from "./document.ts";
import { DataError } from "../errors.ts";
import {
  attempt,
  hashFile,
  isTextFile,
  readTextFile,
  TEXT_EXTENSIONS,
  type TextFile,
} from "./text_readers.ts";

const READABLE = TEXT_EXTENSIONS.map((extension) => `*${extension}`).join(", ");

/** Characters that make a path a pattern. */
export const PATTERN = /[*?[{]/;

/**
 * Makes a source of text files in UTF-8: `.txt`, each file a document, and `.jsonl`, each line a
 * document `{"text": "…", "domain": "…"}` with an optional domain. Both may be compressed (`.gz`).
 *
 * A path is a file, a folder, or a pattern such as `texts/*.jsonl.gz`. Folders are read
 * recursively, sorted by path; hidden files, files of other types and links to folders in them are
 * ignored. Files without text, dangling links, pipes and other special files are skipped and
 * reported to {@linkcode ReadingObserver.passedOver}, as are bytes after the end of gzip data. A
 * file with text that cannot be read is an error, since leaving it out would change the text. A
 * file reached by several paths is read once: its copies could otherwise land on both sides of a
 * split. A byte-order mark is dropped, line endings are kept, and blank lines and rows with an
 * empty text are ignored.
 *
 * A document's domain is the one in its row; else the name before the path, as in `books=texts/a`;
 * else the name of the folder that holds the file, or of the first folder below the given one.
 *
 * Reading the documents throws a {@linkcode DataError} for
 * - a path that is missing or unreadable,
 * - a file that is binary, damaged or not UTF-8,
 * - a row that is not such an object (naming its line), or that UTF-8 cannot encode,
 * - a name that is both a file and a `domain=path`,
 * - a named file, a folder or a pattern without text.
 *
 * @param paths Files, folders and patterns, relative to the current folder.
 * @returns The source; nothing is read until its documents are.
 * @throws {DataError} If there are no paths.
 * @throws {TypeError} If one of them is not a path.
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
  if (!Array.isArray(paths)) {
    throw new TypeError(`Cannot read text from ${shown(paths)}: give an array of paths`);
  }
  Array.from(paths).forEach((path, i) => requirePath("read text", `paths[${i}]`, path));
  if (paths.length === 0) throw new DataError("Cannot read text: no file or folder was given");
  const chosen = [...paths];
  return {
    name: chosen.join(", "),
    documents: (observer) => readPaths(chosen, observer),
    identify: () => identify(chosen),
  };
}

/**
 * Splits an optional domain off a path.
 *
 * @param path A path, or `domain=path`.
 * @returns Both; `domain` is undefined if the path names none.
 */
export function splitDomain(path: string): { domain: string | undefined; path: string } {
  const [, domain, rest] = /^([\w.-]+)=(.+)$/s.exec(path) ?? [];
  return rest === undefined ? { domain: undefined, path } : { domain, path: rest };
}

/**
 * Explains how to disambiguate a name that is both a file and a `domain=path`.
 *
 * @param given The name.
 * @returns How to write either.
 */
export function twoMeanings(given: string): string {
  const { domain, path } = splitDomain(given);
  return `there is a file of that name; write ./${given} for it, or ${domain}=./${path} for the ` +
    `domain ${domain} of another`;
}

/** What was found at a path: a file to read, or something to skip. */
type Found = { readonly file: TextFile; readonly isNamed: boolean } | {
  readonly skipped: PassedOver;
};

/** The files at a path, and the message to throw if none has text. */
interface Place {
  readonly found: readonly Found[];
  readonly without: string;
}

async function* readPaths(
  paths: readonly string[],
  observer: ReadingObserver = {},
): AsyncGenerator<Document> {
  const facts = new Facts();
  const seen = new Map<string, boolean>();
  for (const path of paths) {
    const { found, without } = await placeOf(path);
    let holdsText = false;
    for (const each of found) {
      if ("skipped" in each) {
        facts.addSkipped(each.skipped);
        observer.passedOver?.(each.skipped);
        continue;
      }
      const { file, isNamed } = each;
      const real = await attempt(file.path, () => Deno.realPath(file.path));
      if (!seen.has(real)) {
        const { hash, blank, hasTrailingBytes } = yield* readTextFile(file);
        facts.addFile(file, hash);
        seen.set(real, blank === null);
        if (blank !== null && isNamed) throw new DataError(`Cannot read ${file.path}: ${blank}`);
        if (blank !== null) {
          observer.passedOver?.({ kind: "file", path: file.path, reason: blank });
        } else if (hasTrailingBytes) {
          const reason = "the bytes after its gzip data are not gzip data";
          observer.passedOver?.({ kind: "trailing-bytes", path: file.path, reason });
        }
      }
      holdsText ||= seen.get(real)!;
    }
    if (!holdsText) throw new DataError(without);
  }
  observer.identified?.(facts.digest());
}

async function identify(paths: readonly string[]): Promise<string> {
  const facts = new Facts();
  const seen = new Set<string>();
  for (const path of paths) {
    for (const each of (await placeOf(path)).found) {
      if ("skipped" in each) {
        facts.addSkipped(each.skipped);
        continue;
      }
      const real = await attempt(each.file.path, () => Deno.realPath(each.file.path));
      if (seen.has(real)) continue;
      seen.add(real);
      facts.addFile(each.file, await hashFile(each.file.path));
    }
  }
  return facts.digest();
}

/** Everything the documents depend on: names, domains and contents of files, in order. */
class Facts {
  readonly #facts: unknown[] = [];

  addFile({ id, domain }: TextFile, hash: string): void {
    this.#facts.push([id, domain, hash]);
  }

  addSkipped({ path, reason }: PassedOver): void {
    this.#facts.push([path, reason]);
  }

  digest(): string {
    return sha256(JSON.stringify(this.#facts));
  }
}

async function placeOf(given: string): Promise<Place> {
  const { domain, path } = splitDomain(given);
  if (domain !== undefined && await Deno.stat(given).then(() => true, () => false)) {
    throw new DataError(`Cannot read ${given}: ${twoMeanings(given)}`);
  }
  const { found, without } = await filesAt(path);
  if (domain === undefined) return { found, without };
  const named = found.map((each) =>
    "file" in each ? { ...each, file: { ...each.file, domain } } : each
  );
  return { found: named, without };
}

async function filesAt(path: string): Promise<Place> {
  const info = await Deno.stat(path).catch(() => null);
  if (info === null && PATTERN.test(path)) return await filesMatching(path);
  if (info === null) await attempt(path, () => Deno.stat(path));
  if (info!.isDirectory) return await filesIn(path);
  if (!info!.isFile) throw new DataError(`Cannot read ${path}: it is neither a file nor a folder`);
  if (!isTextFile(path)) {
    throw new DataError(`Cannot read ${path}: text comes from files named ${READABLE}`);
  }
  if (info!.size === 0) throw new DataError(`Cannot read ${path}: the file is empty`);
  return {
    found: [{ file: fileAt(path), isNamed: true }],
    without: `Cannot read ${path}: the file holds no text`,
  };
}

function fileAt(path: string): TextFile {
  const absolute = resolve(path);
  return { path, id: basename(absolute), domain: basename(dirname(absolute)) };
}

async function filesMatching(pattern: string): Promise<Place> {
  const paths = await attempt(pattern, () => Array.fromAsync(glob(pattern)));
  const found: Found[] = [];
  for (const path of paths.sort()) {
    if (!isTextFile(path)) continue;
    // The folder distinguishes files of the same name.
    const file = fileAt(path);
    const each = await look({ ...file, id: `${file.domain}/${file.id}` });
    if (each !== null) found.push(each);
  }
  return {
    found,
    without: `Cannot read ${pattern}: no file with text (${READABLE}) matches it`,
  };
}

async function filesIn(folder: string): Promise<Place> {
  const root = basename(resolve(folder));
  const found: Found[] = [];
  for (const name of (await namesBelow(folder)).sort()) {
    const slash = name.indexOf("/");
    const domain = slash < 0 ? root : name.slice(0, slash);
    const each = await look({ path: join(folder, name), id: `${root}/${name}`, domain });
    if (each !== null) found.push(each);
  }
  return {
    found,
    without: `Cannot read text from the folder ${folder}: it holds no file with text named ` +
      READABLE,
  };
}

/** Checks whether a name found in a folder is a file to read; null if it is a folder. */
async function look(file: TextFile): Promise<Found | null> {
  const { path } = file;
  const skip = (reason: string): Found => ({ skipped: { kind: "file", path, reason } });
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    // A dangling or circular link, or a file removed since the folder was listed.
    const isGone = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.FilesystemLoop;
    if (isGone) return skip("it leads to no file");
    return await attempt(path, () => Promise.reject(error));
  }
  if (info.isDirectory) return null;
  if (!info.isFile) return skip("it is not a regular file");
  return info.size === 0 ? skip("the file is empty") : { file, isNamed: false };
}

/** Lists the texts below a folder, with "/" on every platform so that the order is the same. */
async function namesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  const prefixes = [""];
  for (let prefix; (prefix = prefixes.pop()) !== undefined;) {
    const path = join(folder, prefix);
    const entries = await attempt(path, () => Array.fromAsync(Deno.readDir(path)));
    for (const { name, isDirectory } of entries) {
      if (name.startsWith(".")) continue;
      if (isDirectory) prefixes.push(`${prefix}${name}/`);
      else if (isTextFile(name)) names.push(prefix + name);
    }
  }
  return names;
}
