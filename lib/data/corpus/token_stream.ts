import { checkArrayLike, checkObject, shown } from "../arguments.ts";
import { DataError } from "../errors.ts";
import { allocateTokens, type TokenArray } from "./token_array.ts";

/**
 * A sequence of tokens, in memory or on disk.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { memoryStream, type TokenStream } from "@remoe/remoe/data";
 *
 * const stream: TokenStream = memoryStream(Uint16Array.of(5, 6, 7, 8));
 * const two = new Int32Array(2);
 * stream.read(1, two);
 * assert(two.join() === "6,7" && stream.length === 4);
 * ```
 */
export interface TokenStream {
  /** Number of tokens. */
  readonly length: number;
  /**
   * Copies tokens.
   *
   * @param start The first token.
   * @param target Filled with tokens, all of which must lie in the stream.
   * @throws {RangeError} If some lie outside it, or the array's elements are too narrow.
   */
  read(start: number, target: Int32Array | TokenArray): void;
}

/** Part of a file of little-endian tokens. */
export interface TokenFileRange {
  /** The file. */
  readonly path: string;
  /** The first byte. */
  readonly offset: number;
  /** Number of tokens. */
  readonly tokens: number;
}

/**
 * Makes a stream of tokens in memory.
 *
 * @param tokens The tokens; not copied, so do not modify them.
 * @returns The stream.
 * @throws {TypeError} If they are not in an array of unsigned 16- or 32-bit integers.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { BatchSampler, memoryStream } from "@remoe/remoe/data";
 *
 * const stream = memoryStream(Uint16Array.from({ length: 100 }, (_, i) => i));
 * const sampler = new BatchSampler(stream, { sequence: 4, seed: 1 });
 * const { tokens, targets } = sampler.next(1);
 * assert(targets[0] === tokens[0]! + 1);
 * ```
 */
export function memoryStream(tokens: TokenArray): TokenStream {
  if (!(tokens instanceof Uint16Array || tokens instanceof Uint32Array)) {
    throw new TypeError(
      `Cannot stream ${shown(tokens)}: tokens are a Uint16Array or a Uint32Array`,
    );
  }
  return {
    length: tokens.length,
    read(start, target) {
      checkRead(tokens.length, start, target);
      copyTokens(tokens.subarray(start, start + target.length), target);
    },
  };
}

/**
 * Refuses values that are not streams.
 *
 * @param stream The argument.
 * @param what What was to be done, to follow "Cannot".
 * @throws {TypeError} If it has no length or cannot be read.
 */
export function checkStream(stream: unknown, what: string): asserts stream is TokenStream {
  checkObject(stream, ["read"], what);
  const { length } = stream as TokenStream;
  if (Number.isSafeInteger(length) && length >= 0) return;
  throw new TypeError(`Cannot ${what}: a stream has ${shown(length)} tokens`);
}

function checkRead(length: number, start: number, target: Int32Array | TokenArray): void {
  const isTarget = target instanceof Int32Array || target instanceof Uint16Array ||
    target instanceof Uint32Array;
  if (!isTarget) {
    throw new TypeError(
      `Cannot read tokens into ${shown(target)}: give an Int32Array, Uint16Array or Uint32Array`,
    );
  }
  if (Number.isSafeInteger(start) && start >= 0 && start + target.length <= length) return;
  throw new RangeError(
    `Cannot read ${target.length} tokens from token ${shown(start)}: the stream has ${length}`,
  );
}

/** Copies tokens; none may be truncated to fewer bits. */
function copyTokens(source: TokenArray, target: Int32Array | TokenArray): void {
  target.set(source);
  if (source instanceof Uint16Array || target instanceof Uint32Array) return;
  const cut = source.findIndex((token, i) => token !== target[i]);
  if (cut < 0) return;
  throw new RangeError(
    `Cannot read token ${source[cut]}: the array's elements are too narrow for it`,
  );
}

/**
 * Makes a stream of tokens in a file, read on demand: the text need not fit in memory. The file is
 * open only while it is read, so there is nothing to close.
 *
 * @param range Where the tokens are.
 * @param vocabularySize Decides the width of a token.
 * @returns The stream.
 */
export function fileStream(range: TokenFileRange, vocabularySize: number): TokenStream {
  return {
    length: range.tokens,
    read(start, target) {
      checkRead(range.tokens, start, target);
      const part = allocateTokens(target.length, vocabularySize);
      readFully(range, start * part.BYTES_PER_ELEMENT, part);
      copyTokens(part, target);
    },
  };
}

/**
 * Concatenates streams.
 *
 * @param streams The streams, in order.
 * @returns Their tokens as one stream.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { joinStreams, memoryStream, readAllTokens } from "@remoe/remoe/data";
 *
 * const joined = joinStreams([memoryStream(Uint16Array.of(1, 2)), memoryStream(Uint16Array.of(3))]);
 * assert(readAllTokens(joined, 257).join() === "1,2,3");
 * ```
 */
export function joinStreams(streams: readonly TokenStream[]): TokenStream {
  checkArrayLike(streams, "join streams");
  const parts = Array.from(streams);
  for (const part of parts) checkStream(part, "join streams");
  if (parts.length === 1) return parts[0]!;
  const starts: number[] = [];
  let length = 0;
  for (const stream of parts) {
    starts.push(length);
    length += stream.length;
  }
  return {
    length,
    read(start, target) {
      checkRead(length, start, target);
      let done = 0;
      for (let i = rangeAt(starts, start); done < target.length; i++) {
        const stream = parts[i]!;
        const from = start + done - starts[i]!;
        const count = Math.min(stream.length - from, target.length - done);
        stream.read(from, target.subarray(done, done + count));
        done += count;
      }
    },
  };
}

/**
 * Repeats a stream without holding it in memory.
 *
 * @param stream The stream, with at least one token.
 * @param length Length of the result in tokens.
 * @returns Its tokens, over and over.
 */
export function repeatStream(stream: TokenStream, length: number): TokenStream {
  return {
    length,
    read(start, target) {
      checkRead(length, start, target);
      for (let done = 0; done < target.length;) {
        const from = (start + done) % stream.length;
        const count = Math.min(stream.length - from, target.length - done);
        stream.read(from, target.subarray(done, done + count));
        done += count;
      }
    },
  };
}

/**
 * Copies all tokens of a stream, which must fit in memory.
 *
 * @param stream The stream.
 * @param vocabularySize Decides the width of a token.
 * @returns The tokens.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { memoryStream, readAllTokens } from "@remoe/remoe/data";
 *
 * assert(readAllTokens(memoryStream(Uint16Array.of(1, 2)), 257).join() === "1,2");
 * ```
 */
export function readAllTokens(stream: TokenStream, vocabularySize: number): TokenArray {
  checkStream(stream, "read all tokens");
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < 1) {
    throw new RangeError(`Cannot read tokens of a vocabulary of ${shown(vocabularySize)}`);
  }
  const tokens = allocateTokens(stream.length, vocabularySize);
  stream.read(0, tokens);
  return tokens;
}

/** Returns the index of the last of `starts` that is at most `position`. */
function rangeAt(starts: readonly number[], position: number): number {
  let [low, high] = [0, starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= position) low = middle;
    else high = middle;
  }
  return low;
}

function readFully({ path, offset }: TokenFileRange, skip: number, target: TokenArray): void {
  const bytes = new Uint8Array(target.buffer);
  using file = Deno.openSync(path);
  file.seekSync(offset + skip, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) throw new DataError(`Cannot read tokens from ${path}: the file was cut`);
    done += count;
  }
}
