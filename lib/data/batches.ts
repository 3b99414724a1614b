import { DataError } from "./errors.ts";
import { memoryStream, type TokenStream } from "./token_stream.ts";
import type { TokenArray } from "./tokenized_text.ts";

/** Rows of consecutive tokens, and for each token the one that follows it. */
export interface Batch {
  /** Number of rows, B. */
  readonly rows: number;
  /** Tokens in a row, S. */
  readonly sequence: number;
  /** Token ids, [B, S] row by row. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** The token after each of `tokens`, [B, S]. */
  readonly targets: Int32Array<ArrayBuffer>;
}

/**
 * Counts the windows a token stream is cut into: each has `sequence` tokens and the one after
 * them, which is the next window's first, so that every token but the first is a target once.
 *
 * @param tokens Tokens of the stream.
 * @param sequence Tokens in a row.
 * @param name What messages call the text.
 * @returns ⌊(tokens - 1) / sequence⌋, at least 1; the tokens left over belong to no window.
 * @throws {RangeError} If the sequence is not a positive integer.
 * @throws {DataError} If the stream is shorter than one window.
 */
export function countWindows(tokens: number, sequence: number, name: string): number {
  if (!Number.isInteger(sequence) || sequence < 1) {
    throw new RangeError(`Cannot cut ${name} in rows of ${sequence} tokens: there must be one`);
  }
  if (tokens < sequence + 1) {
    throw new DataError(
      `Cannot cut ${name} in rows of ${sequence} tokens: a row and its last target need ` +
        `${sequence + 1} tokens and there are ${tokens}, give more text or a shorter sequence`,
    );
  }
  return Math.floor((tokens - 1) / sequence);
}

/**
 * Copies windows of a token stream into a batch.
 *
 * @param stream The token stream.
 * @param sequence Tokens in a row.
 * @param windows The window of each row.
 * @returns The batch, in arrays of its own.
 */
export function gatherBatch(
  stream: TokenStream,
  sequence: number,
  windows: readonly number[],
): Batch {
  const rows = windows.length;
  const tokens = new Int32Array(rows * sequence);
  const targets = new Int32Array(rows * sequence);
  const window = new Int32Array(sequence + 1);
  for (const [row, index] of windows.entries()) {
    stream.read(index * sequence, window);
    tokens.set(window.subarray(0, sequence), row * sequence);
    targets.set(window.subarray(1), row * sequence);
  }
  return { rows, sequence, tokens, targets };
}

/**
 * Accepts tokens in memory where a stream is wanted.
 *
 * @param tokens Tokens, or a stream of them.
 * @returns The stream.
 */
export function asStream(tokens: TokenArray | TokenStream): TokenStream {
  return "read" in tokens ? tokens : memoryStream(tokens);
}
