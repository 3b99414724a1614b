import { shown } from "../arguments.ts";
import { DataError } from "../errors.ts";
import { checkStream, memoryStream, type TokenStream } from "../corpus/token_stream.ts";
import type { TokenArray } from "../corpus/token_array.ts";

/** The kernels index a batch's arrays with 32 bits. */
const MOST_TOKENS = 2 ** 31 - 1;

/** Rows of consecutive tokens, and for each token its successor. */
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
 * Counts the windows a token stream is cut into. Each has `sequence` tokens plus their successor,
 * which is also the next window's first token, so every token but the first is a target exactly
 * once.
 *
 * @param tokens Tokens of the stream.
 * @param sequence Tokens in a row.
 * @param name What messages call the text.
 * @returns ⌊(tokens - 1) / sequence⌋, at least 1; leftover tokens belong to no window.
 * @throws {RangeError} If the sequence is not a positive integer.
 * @throws {DataError} If the stream is shorter than one window.
 */
export function countWindows(tokens: number, sequence: number, name: string): number {
  checkSequence(sequence, name);
  if (tokens < sequence + 1) {
    throw new DataError(
      `Cannot cut ${name} in rows of ${sequence} tokens: a row and its last target need ` +
        `${sequence + 1} tokens and there are ${tokens}, give more text or a shorter sequence`,
    );
  }
  return Math.floor((tokens - 1) / sequence);
}

/**
 * Refuses an invalid row length.
 *
 * @param sequence Tokens in a row.
 * @param name What messages call the text.
 * @throws {RangeError} If it is not an integer from 1 to 2^31 - 2.
 */
export function checkSequence(sequence: number, name: string): void {
  // A row is read together with the target of its last token.
  if (Number.isSafeInteger(sequence) && sequence >= 1 && sequence < MOST_TOKENS) return;
  throw new RangeError(
    `Cannot cut ${name} in rows of ${shown(sequence)} tokens: give a whole number from 1 to ` +
      `${MOST_TOKENS - 1}`,
  );
}

/**
 * Refuses an invalid number of rows.
 *
 * @param rows Rows in a batch.
 * @param sequence Tokens in a row.
 * @throws {RangeError} If it is not a positive integer, or the batch would have 2^31 tokens or
 * more.
 */
export function checkRows(rows: number, sequence: number): void {
  if (!Number.isInteger(rows) || rows < 1) {
    throw new RangeError(`Cannot take a batch of ${shown(rows)} rows: there must be at least one`);
  }
  if (rows * sequence > MOST_TOKENS) {
    throw new RangeError(
      `Cannot take a batch of ${rows} rows of ${sequence} tokens: it may have ${MOST_TOKENS} tokens`,
    );
  }
}

/** Returns the window to take the next row from. */
export type NextWindow = () => { readonly stream: TokenStream; readonly window: number };

/**
 * Copies windows of token streams into a batch.
 *
 * @param rows Number of rows.
 * @param sequence Tokens in a row.
 * @param next Returns the window of each row in turn.
 * @returns The batch, in new arrays.
 * @throws {RangeError} If the number of rows is out of range.
 */
export function gatherBatch(rows: number, sequence: number, next: NextWindow): Batch {
  checkRows(rows, sequence);
  const tokens = new Int32Array(rows * sequence);
  const targets = new Int32Array(rows * sequence);
  const row = new Int32Array(sequence + 1);
  for (let start = 0; start < tokens.length; start += sequence) {
    const { stream, window } = next();
    stream.read(window * sequence, row);
    tokens.set(row.subarray(0, sequence), start);
    targets.set(row.subarray(1), start);
  }
  return { rows, sequence, tokens, targets };
}

/**
 * Wraps tokens in memory as a stream.
 *
 * @param tokens Tokens, or already a stream of them.
 * @returns The stream.
 * @throws {TypeError} If it is neither.
 */
export function asStream(tokens: TokenArray | TokenStream): TokenStream {
  if (ArrayBuffer.isView(tokens)) return memoryStream(tokens);
  checkStream(tokens, "read tokens");
  return tokens;
}
