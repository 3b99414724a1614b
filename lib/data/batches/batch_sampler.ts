import { ConfigError } from "../../errors.ts";
import { checkObject, shown } from "../arguments.ts";
import { asStream, type Batch, countWindows, gatherBatch } from "./batches.ts";
import { Permutation } from "./permutation.ts";
import type { TokenStream } from "../corpus/token_stream.ts";
import type { TokenArray } from "../corpus/token_array.ts";

/** Where a {@linkcode BatchSampler} is: plain numbers, for a checkpoint's JSON. */
export interface SamplerState {
  /** The seed of the order. */
  readonly seed: number;
  /** Passes over the text completed. */
  readonly epoch: number;
  /** Windows of this pass already used. */
  readonly position: number;
}

/** What a {@linkcode BatchSampler} needs besides tokens. */
export interface BatchSamplerOptions {
  /** Tokens in a row. */
  readonly sequence: number;
  /** Seed of the order, an integer of 0 to 2^53 - 1. */
  readonly seed: number;
}

/**
 * The stream of training batches: the tokens are cut in windows of `sequence` + 1 (each begins at
 * the last one's final target), and every epoch goes through all of them in an order of its own.
 *
 * The order is computed from the seed and the epoch ({@linkcode Permutation}), so three numbers
 * are the whole state, and a sampler set to it goes on exactly as the first would have, whatever
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

  /** Where the stream is, for {@linkcode BatchSampler.restore}. */
  get state(): SamplerState {
    return { seed: this.#seed, epoch: this.#epoch, position: this.#position };
  }

  /**
   * Takes the next batch of the stream.
   *
   * @param batch Number of rows.
   * @returns The batch, [batch, sequence], in arrays of its own.
   * @throws {RangeError} If the number of rows is not a positive integer, or the batch too large.
   */
  next(batch: number): Batch {
    const stream = this.#stream;
    return gatherBatch(batch, this.sequence, () => ({ stream, window: this.#nextWindow() }));
  }

  /**
   * Goes to where another sampler of the same text and sequence was.
   *
   * @param state That sampler's state.
   * @throws {ConfigError} If this text has no such place, as then it is another text or sequence.
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
