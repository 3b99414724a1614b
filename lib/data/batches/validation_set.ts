import { checkObject, shown } from "../arguments.ts";
import { asStream, type Batch, checkRows, countWindows, gatherBatch } from "./batches.ts";
import type { TokenStream } from "../corpus/token_stream.ts";
import type { TokenArray } from "../corpus/token_array.ts";

/** Options of {@linkcode ValidationSet}. */
export interface ValidationSetOptions {
  /** Tokens in a row. */
  readonly sequence: number;
  /** Rows in a batch; the last batch may have fewer. */
  readonly batch: number;
  /** The most rows to use; by default all of the text. */
  readonly rows?: number;
}

/**
 * A fixed set of validation batches, the same on every iteration: at most `rows` windows, spread
 * evenly over the validation tokens, in order.
 *
 * @example
 * ```ts
 * import { ValidationSet } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = Uint16Array.from({ length: 1001 }, (_, i) => i);
 * const validation = new ValidationSet(tokens, { sequence: 10, batch: 2, rows: 5 });
 * const batches = [...validation];
 * assertEquals(batches.map((batch) => batch.rows), [2, 2, 1]);
 * assertEquals(batches.map((batch) => batch.tokens[0]), [0, 400, 800]);
 * ```
 */
export class ValidationSet implements Iterable<Batch> {
  /** Tokens in a row. */
  readonly sequence: number;
  /** Rows in all batches together. */
  readonly rows: number;
  readonly #stream: TokenStream;
  readonly #batch: number;
  readonly #windows: number;

  /**
   * Chooses the windows.
   *
   * @param stream The validation tokens.
   * @param options The sizes.
   * @throws {DataError} If the stream is shorter than one row and its last target.
   * @throws {RangeError} If a size is not a positive integer.
   */
  constructor(stream: TokenArray | TokenStream, options: ValidationSetOptions) {
    checkObject(options, [], "validate");
    const { sequence, batch, rows = Infinity } = options;
    if (rows !== Infinity && !(Number.isSafeInteger(rows) && rows >= 1)) {
      throw new RangeError(
        `Cannot validate on ${shown(rows)} rows: give a whole number of at least one`,
      );
    }
    this.#stream = asStream(stream);
    this.#windows = countWindows(this.#stream.length, sequence, "the validation text");
    checkRows(batch, sequence);
    this.#batch = batch;
    this.sequence = sequence;
    this.rows = Math.min(rows, this.#windows);
  }

  /**
   * Iterates over the set from the beginning.
   *
   * @returns The batches.
   */
  *[Symbol.iterator](): Generator<Batch, void> {
    for (let first = 0; first < this.rows; first += this.#batch) {
      const count = Math.min(this.#batch, this.rows - first);
      let row = first;
      yield gatherBatch(count, this.sequence, () => ({
        stream: this.#stream,
        window: Math.floor((row++ * this.#windows) / this.rows),
      }));
    }
  }
}
