/**
 * Reads gzip as `zcat` does: any number of members, then zeros or anything else. The platform's own
 * streams treat a second member, or anything after the last, as damage.
 *
 * @module
 */

import { crc32, createInflateRaw } from "node:zlib";

type Bytes = Uint8Array<ArrayBuffer>;

const MAGIC = [0x1f, 0x8b] as const;
const DEFLATE = 8;
/** Bits of the header's flags: which optional fields it holds. */
const HEADER_CRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xe0;

/** Gzip data that is invalid or ends early. Callers know the file's name. */
export class GzipError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "GzipError";
}

/**
 * Decompresses the members of a gzip file.
 *
 * @param chunks The file, in pieces of any size.
 * @param onTrailing Called if bytes after the last member are neither a member nor zeros.
 * @returns The decompressed members, in pieces.
 * @throws {GzipError} If the data is damaged or truncated.
 */
export async function* gunzip(
  chunks: AsyncIterable<Bytes>,
  onTrailing: () => void,
): AsyncGenerator<Bytes> {
  await using input = new Input(chunks);
  if (!await input.startsWith(MAGIC)) {
    throw new GzipError("it does not begin with the gzip signature");
  }
  do {
    await skipHeader(input);
    yield* inflateMember(input);
  } while (await input.startsWith(MAGIC));
  if (!await input.isZeroToItsEnd()) onTrailing();
}

async function skipHeader(input: Input): Promise<void> {
  const [, , method, flags = 0] = await input.take(10);
  if (method !== DEFLATE || flags & RESERVED) throw new GzipError("its header is damaged");
  if (flags & EXTRA) await input.take(littleEndian(await input.take(2)));
  if (flags & NAME) await input.skipText();
  if (flags & COMMENT) await input.skipText();
  if (flags & HEADER_CRC) await input.take(2);
}

/** Decompresses a member and checks it against the checksum and length that follow. */
async function* inflateMember(input: Input): AsyncGenerator<Bytes> {
  let [checksum, length] = [0, 0];
  for await (const bytes of inflate(input)) {
    checksum = crc32(bytes, checksum);
    length += bytes.length;
    yield bytes;
  }
  const trailer = await input.take(8);
  const isWhole = littleEndian(trailer.subarray(0, 4)) === checksum &&
    littleEndian(trailer.subarray(4)) === length % 2 ** 32;
  if (!isWhole) throw new GzipError("its checksum differs");
}

/** Decompresses to the end of the data and leaves the input positioned after it. */
async function* inflate(input: Input): AsyncGenerator<Bytes> {
  const raw = createInflateRaw();
  const ready: Bytes[] = [];
  const ended = new Promise<void>((resolve, reject) => {
    raw.on("data", (bytes: Bytes) => ready.push(bytes));
    raw.on("end", resolve);
    raw.on("error", (cause) => reject(new GzipError("its data are damaged", { cause })));
  });
  // Handled where it is awaited, which may be after it rejects.
  ended.catch(() => {});
  for (let fed = 0;;) {
    const piece = await input.piece();
    if (piece === undefined) throw new GzipError("it is cut off");
    fed += piece.length;
    const written = new Promise<void>((resolve) => raw.write(piece, () => resolve()));
    await Promise.race([written, ended]);
    const left = fed - raw.bytesWritten;
    if (left === 0) {
      yield* ready.splice(0);
      continue;
    }
    // Input is left unread only at the end of the data.
    await ended;
    input.giveBack(piece.subarray(piece.length - left));
    return yield* ready;
  }
}

/** A byte stream to take parts from. */
class Input implements AsyncDisposable {
  readonly #chunks: AsyncIterator<Bytes>;
  #rest: Bytes = new Uint8Array();

  constructor(chunks: AsyncIterable<Bytes>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Returns the next bytes, at least one; undefined at the end. */
  async piece(): Promise<Bytes | undefined> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#rest = value;
    }
    const piece = this.#rest;
    this.#rest = new Uint8Array();
    return piece;
  }

  /** Lets the source close its file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.();
  }

  giveBack(bytes: Bytes): void {
    this.#rest = bytes;
  }

  /** Takes exactly `count` bytes. */
  async take(count: number): Promise<Bytes> {
    const taken = await this.#takeUpTo(count);
    if (taken.length < count) throw new GzipError("it is cut off");
    return taken;
  }

  async startsWith(expected: readonly number[]): Promise<boolean> {
    const found = await this.#takeUpTo(expected.length);
    this.giveBack(this.#rest.length === 0 ? found : joined([found, this.#rest]));
    return found.length === expected.length && expected.every((byte, i) => byte === found[i]);
  }

  async skipText(): Promise<void> {
    for (;;) {
      const piece = await this.piece();
      if (piece === undefined) throw new GzipError("it is cut off");
      const end = piece.indexOf(0);
      if (end < 0) continue;
      return this.giveBack(piece.subarray(end + 1));
    }
  }

  /** Reads the rest. */
  async isZeroToItsEnd(): Promise<boolean> {
    let isZero = true;
    for (let piece; (piece = await this.piece()) !== undefined;) {
      isZero &&= piece.every((byte) => byte === 0);
    }
    return isZero;
  }

  async #takeUpTo(count: number): Promise<Bytes> {
    const parts: Bytes[] = [];
    let length = 0;
    while (length < count) {
      const piece = await this.piece();
      if (piece === undefined) break;
      parts.push(piece.subarray(0, count - length));
      if (piece.length > count - length) this.giveBack(piece.subarray(count - length));
      length += parts.at(-1)!.length;
    }
    return joined(parts);
  }
}

function joined(parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
}
