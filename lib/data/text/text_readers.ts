import { createHash, type Hash } from "node:crypto";

import { systemReason } from "../../system_reason.ts";
import { brokenCharacter } from "../arguments.ts";
import { type Document, NO_DOMAIN } from "./document.ts";
import { DataError } from "../errors.ts";
import { gunzip, GzipError } from "./gunzip.ts";

/** A file to read, and the names of its text. */
export interface TextFile {
  /** The file's path. */
  readonly path: string;
  /** Its name in the documents' ids. */
  readonly id: string;
  /** The domain of documents that do not name one. */
  readonly domain: string;
}

/** What a reading of a file found besides documents. */
export interface FileReading {
  /** SHA-256 of the file as stored. */
  readonly hash: string;
  /** Why there are no documents; null if there are some. */
  readonly blank: string | null;
  /** Whether other bytes follow the gzip data. */
  readonly hasTrailingBytes: boolean;
}

type Reader = (file: TextFile, text: AsyncIterable<string>) => AsyncIterable<Document>;

const READERS: Readonly<Record<string, Reader>> = {
  ".txt": readPlainText,
  ".jsonl": readJsonLines,
};
const COMPRESSED = ".gz";

/** Why a file of each type has no documents. */
const BLANK: Readonly<Record<string, string>> = {
  ".txt": "the file holds no text",
  ".jsonl": "none of its lines holds text",
};

const READ_BYTES = 1 << 16;

/** The file name extensions of text files. */
export const TEXT_EXTENSIONS: readonly string[] = Object.keys(READERS)
  .flatMap((extension) => [extension, extension + COMPRESSED]);

/** V8 strings have fewer than 2^29 characters; the decoder's own error would not say so. */
const LONGEST_TEXT = 2 ** 29 - 25;

/**
 * Tells whether a file's name is that of a text.
 *
 * @param path The file.
 * @returns Whether it ends in one of {@linkcode TEXT_EXTENSIONS}, ignoring case.
 */
export function isTextFile(path: string): boolean {
  const name = path.toLowerCase();
  return TEXT_EXTENSIONS.some((extension) => name.endsWith(extension));
}

/**
 * Reads the documents of a file: a `.txt` file is one document, a `.jsonl` file has one per line.
 * Either may be compressed (`.gz`).
 *
 * @param file The file; {@linkcode isTextFile} must hold for its path.
 * @returns Its documents, read on demand, and what else was found.
 */
export async function* readTextFile(file: TextFile): AsyncGenerator<Document, FileReading> {
  const name = file.path.toLowerCase();
  const plain = isGzip(name) ? name.slice(0, -COMPRESSED.length) : name;
  const extension = plain.slice(plain.lastIndexOf("."));
  const hash = createHash("sha256");
  let [isBlank, hasTrailingBytes] = [true, false];
  const pieces = piecesOf(file.path, hash, () => hasTrailingBytes = true);
  for await (const document of READERS[extension]!(file, pieces)) {
    isBlank = false;
    yield document;
  }
  const blank = isBlank ? BLANK[extension]! : null;
  return { hash: hash.digest("hex"), blank, hasTrailingBytes };
}

/** A line of a `.jsonl` file. */
export interface JsonRow {
  /** The line's number, from 1. */
  readonly number: number;
  /** The object it holds. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads the objects of a `.jsonl` file, one per line, blank lines aside. It may be compressed
 * (`.gz`).
 *
 * @param path The file.
 * @returns Its rows, read on demand.
 * @throws {DataError} If the file cannot be read, or a line holds no object; names the line.
 */
export async function* readJsonRows(path: string): AsyncGenerator<JsonRow, void> {
  let number = 0;
  for await (const line of linesOf(path, piecesOf(path, createHash("sha256"), () => {}))) {
    number++;
    if (line.trim() !== "") yield { number, fields: parseObject(path, line, number) };
  }
}

/**
 * Hashes a file as stored.
 *
 * @param path The file.
 * @returns SHA-256, in hexadecimal.
 */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  const chunks = rawChunks(path, hash);
  while (!(await chunks.next()).done);
  return hash.digest("hex");
}

function isGzip(path: string): boolean {
  return path.toLowerCase().endsWith(COMPRESSED);
}

/** The text of a file, decompressed if its name says that it is compressed. */
function piecesOf(path: string, hash: Hash, onTrailing: () => void): AsyncIterable<string> {
  const raw = rawChunks(path, hash);
  return decodedPieces(path, isGzip(path) ? decompressed(path, raw, onTrailing) : raw);
}

/** Decodes a file in pieces: it must be UTF-8, and a byte-order mark is dropped. */
async function* decodedPieces(
  path: string,
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array<ArrayBuffer>): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (cause) {
      throw new DataError(`Cannot read ${path} as text: it is not UTF-8, convert it first`, {
        cause,
      });
    }
  };
  let position = 0;
  for await (const bytes of chunks) {
    const zero = bytes.indexOf(0);
    if (zero >= 0) {
      const byte = position + zero;
      throw new DataError(`Cannot read ${path} as text: byte ${byte} is NUL, the file is binary`);
    }
    position += bytes.length;
    yield decode(bytes);
  }
  yield decode();
}

async function* rawChunks(path: string, hash: Hash): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await attempt(path, () => Deno.open(path));
  for (;;) {
    // A new array each time, because consumers may keep what is yielded.
    const bytes = new Uint8Array(READ_BYTES);
    const count = await attempt(path, () => file.read(bytes));
    if (count === null) return;
    const part = bytes.subarray(0, count);
    hash.update(part);
    yield part;
  }
}

async function* decompressed(
  path: string,
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
  onTrailing: () => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  try {
    yield* gunzip(chunks, onTrailing);
  } catch (cause) {
    if (!(cause instanceof GzipError)) throw cause;
    throw new DataError(
      `Cannot read ${path}: its gzip data is damaged or cut off (${cause.message})`,
      { cause },
    );
  }
}

async function* readPlainText(
  { path, id, domain }: TextFile,
  pieces: AsyncIterable<string>,
): AsyncGenerator<Document> {
  const parts: string[] = [];
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > LONGEST_TEXT) {
      throw new DataError(
        `Cannot read ${path}: it has more characters than one document may have ` +
          `(${LONGEST_TEXT}), split the file into several`,
      );
    }
    parts.push(piece);
  }
  if (length > 0) yield { id, text: parts.join(""), domain };
}

async function* readJsonLines(
  file: TextFile,
  pieces: AsyncIterable<string>,
): AsyncGenerator<Document> {
  let number = 0;
  for await (const line of linesOf(file.path, pieces)) {
    number++;
    if (line.trim() === "") continue;
    const document = parseRow(file, line, number);
    if (document !== null) yield document;
  }
}

async function* linesOf(path: string, pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let [rest, length] = [[] as string[], 0];
  for await (const piece of pieces) {
    const [first = "", ...lines] = piece.split("\n");
    rest.push(first);
    length += first.length;
    if (length > LONGEST_TEXT) {
      throw new DataError(
        `Cannot read ${path}: a line has more characters than one may have (${LONGEST_TEXT}), ` +
          `split it into several`,
      );
    }
    if (lines.length === 0) continue;
    yield rest.join("");
    rest = [lines.pop()!];
    length = rest[0]!.length;
    yield* lines;
  }
  const last = rest.join("");
  if (last !== "") yield last;
}

/** Parses a row as an object. */
function parseObject(path: string, line: string, number: number): Record<string, unknown> {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw lineError(path, number, "it is not JSON, each line must be an object", cause);
  }
  if (typeof row === "object" && row !== null && !Array.isArray(row)) {
    return row as Record<string, unknown>;
  }
  throw lineError(path, number, "it is not an object");
}

function lineError(path: string, number: number, reason: string, cause?: unknown): DataError {
  return new DataError(`Cannot read line ${number} of ${path}: ${reason}`, { cause });
}

/** Parses a row as a document; null if its text is empty. */
function parseRow({ path, id, domain }: TextFile, line: string, number: number): Document | null {
  const fail = (reason: string): never => {
    throw lineError(path, number, reason);
  };
  const { text, domain: named = domain } = parseObject(path, line, number);
  if (typeof text !== "string") return fail("its field text is missing or not a text");
  if (typeof named !== "string") return fail("its field domain is not a text");
  for (const [name, value] of [["text", text], ["domain", named]] as const) {
    const broken = brokenCharacter(value);
    if (broken !== null) return fail(`its field ${name} ${broken}`);
  }
  if (text === "") return null;
  return { id: `${id}:${number}`, text, domain: named === "" ? NO_DOMAIN : named };
}

/**
 * Runs a read and names the path if it fails.
 *
 * @param path What is read.
 * @param read Reads it.
 * @returns What `read` returned.
 * @throws {DataError} If it fails.
 */
export async function attempt<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): DataError {
  return new DataError(`Cannot read ${path}: ${systemReason(cause)}`, { cause });
}
