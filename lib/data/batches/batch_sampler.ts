import { ConfigError } from "../../errors.ts";
import { checkObject, shown } from "../arguments.ts";
import { asStream, type Batch, countWindows, gatherBatch } from "./batches.ts";
import { Permutation } from "./permutation.ts";
import type { TokenStream } from "../corpus/token_stream.ts";
import type { TokenArray } from "../corpus/token_array.ts";

/** The position of a {@linkcode BatchSampler}: plain numbers, for a checkpoint's JSON. */
export interface SamplerState {
  /** The seed of the order. */
  readonly seed: number;
  /** Completed passes over the text. */
  readonly epoch: number;
  /** Windows of this pass already used. */
  readonly position: number;
}

/** Options of {@linkcode BatchSampler}. */
export interface BatchSamplerOptions {
  /** Tokens in a row. */
  readonly sequence: number;
  /** Seed of the order, an integer from 0 to 2^53 - 1. */
  readonly seed: number;
}

/**
 * The stream of training batches. The tokens are cut into windows of `sequence` + 1, each beginning
 * at the previous window's final target, and every epoch visits all windows in a different order.
 *
 * The order is computed from the seed and the epoch ({@linkcode Permutation}), so three numbers are
 * the entire state. A sampler restored to it continues exactly as the original would have, whatever
 * the batch sizes. A batch that reaches the end of an epoch is filled from the next one.
 *
 * @example
 * ```ts
 * import { BatchSampler } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = Uint16Array.from({ length: 1025 }, (_, i) => i);
 * const sampler = new BatchSampler(tokens, { sequence: 64, seed: 1 });
 * const { rows, sequence, tokens: inputs, targets } = sampler.next(4);
 * assertEquals([rows, sequence], [4, 64]);
 * assertEquals(targets[0], inputs[0]! + 1);
 *
 * const resumed = new BatchSampler(tokens, { sequence: 64, seed: 1 });
 * resumed.restore(JSON.parse(JSON.stringify(sampler.state)));
 * assertEquals(resumed.next(4), sampler.next(4));
 * ```
 */
export class BatchSampler {
  /** Tokens in a row. */
  readonly sequence: number;
  /** Windows in an epoch. */
  readonly windows: number;
  readonly #stream: TokenStream;
  #seed: number;
  #epoch = 0;
  #position = 0;
  #order: Permutation;

  /**
   * Begins at the first epoch.
   *
   * @param stream The tokens to train on.
   * @param options The length of a row and the seed.
   * @throws {DataError} If the stream is shorter than one row and its last target.
   * @throws {RangeError} If the sequence or the seed is out of range.
   */
  constructor(stream: TokenArray | TokenStream, options: BatchSamplerOptions) {
    checkObject(options, [], "cut the training text");
    this.#stream = asStream(stream);
    this.sequence = options.sequence;
    this.windows = countWindows(this.#stream.length, options.sequence, "the training text");
    this.#seed = options.seed;
    this.#order = new Permutation(this.windows, options.seed, 0);
  }

  /** The position in the stream, for {@linkcode BatchSampler.restore}. */
  get state(): SamplerState {
    return { seed: this.#seed, epoch: this.#epoch, position: this.#position };
  }

  /**
   * Takes the next batch of the stream.
   *
   * @param batch Number of rows.
   * @returns The batch, [batch, sequence], in new arrays.
   * @throws {RangeError} If the number of rows is not a positive integer, or the batch is too
   * large.
   */
  next(batch: number): Batch {
    const stream = this.#stream;
    return gatherBatch(batch, this.sequence, () => ({ stream, window: this.#nextWindow() }));
  }

  /**
   * Moves to the position of another sampler of the same text and sequence.
   *
   * @param state That sampler's state.
   * @throws {ConfigError} If this text has no such position: the text or the sequence differs.
   */
  restore(state: SamplerState): void {
    // A checkpoint's JSON may hold anything.
    const { seed, epoch, position } = state ?? {};
    if (!Number.isInteger(position) || position < 0) {
      throw new ConfigError("Cannot resume the training text: the state of the sampler is damaged");
    }
    if (position > this.windows) {
      throw new ConfigError(
        `Cannot resume at window ${position} of the training text: it has ${this.windows} of ` +
          `${this.sequence} tokens, so the text or the sequence differs from the run's`,
      );
    }
    try {
      this.#order = new Permutation(this.windows, seed, epoch);
    } catch (cause) {
      throw new ConfigError(
        `Cannot resume the training text at seed ${shown(seed)} and epoch ${
          shown(epoch)
        }: the state ` +
          `is damaged`,
        { cause },
      );
    }
    this.#seed = seed;
    this.#epoch = epoch;
    this.#position = position;
  }

  #nextWindow(): number {
    if (this.#position === this.windows) {
      this.#epoch += 1;
      this.#position = 0;
      this.#order = new Permutation(this.windows, this.#seed, this.#epoch);
    }
    return this.#order.at(this.#position++);
  }
}
