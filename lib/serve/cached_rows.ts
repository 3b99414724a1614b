/** The rows of a key/value cache, each with a text of its own. @module */

import type { Device } from "../autograd/device.ts";
import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { KeyValueCache } from "../nn/key_value_cache.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import { read } from "../tensor/transfer.ts";

/** Opens a cache, so that too much fails before the first request. */
function roomFor(model: LanguageModel<Real>, rows: number, capacity: number): KeyValueCache<Real> {
  try {
    return model.openCache(rows, capacity);
  } catch (cause) {
    if (!(cause instanceof DeviceError) || cause.status !== Status.outOfMemory) throw cause;
    const { status } = cause;
    throw new DeviceError(
      `Cannot serve: there is no memory for ${rows} texts of up to ${capacity} tokens; ask for ` +
        `fewer rows or a shorter context (${cause.message})`,
      { status, operation: "make room for texts", cause },
    );
  }
}

/** Scores of tokens on the host, in the order in which they were given. */
export interface HostScores {
  /** ln p of each target. */
  readonly logProbability: Float32Array;
  /** The likeliest token in each target's place. */
  readonly greedy: Int32Array;
  /** ln p of that token; the identical number where it is the target. */
  readonly greedyLogProbability: Float32Array;
}

/**
 * A model with a cache whose rows grow and are given back one by one. Nothing is kept on the device
 * between calls but the cache.
 */
export class CachedRows implements Disposable {
  readonly #device: Device;
  readonly #model: LanguageModel<Real>;
  readonly #cache: KeyValueCache<Real>;

  /** Makes room for `rows` texts of up to `capacity` tokens. */
  constructor(device: Device, model: LanguageModel<Real>, rows: number, capacity: number) {
    this.#device = device;
    this.#model = model;
    this.#cache = roomFor(model, rows, capacity);
  }

  /**
   * Appends tokens to rows.
   *
   * @param sequences The new tokens of each row, at least one.
   * @param rows The rows, none of them twice.
   * @returns Per row, the logits of its next token.
   */
  async extend(
    sequences: readonly (readonly number[])[],
    rows: readonly number[],
  ): Promise<Float32Array[]> {
    const { vocabulary } = this.#model;
    const values = await this.#begin(() => read(this.#model.extend(sequences, this.#cache, rows)));
    return rows.map((_, i) => values.subarray(i * vocabulary, (i + 1) * vocabulary));
  }

  /**
   * Appends tokens to rows, and scores a target for each of them.
   *
   * @param sequences The new tokens of each row, at least one.
   * @param targets The token that follows each of them.
   * @param rows The rows, none of them twice.
   * @returns The scores, row after row.
   */
  async score(
    sequences: readonly (readonly number[])[],
    targets: readonly (readonly number[])[],
    rows: readonly number[],
  ): Promise<HostScores> {
    const [logProbability, greedy, greedyLogProbability] = await this.#begin(() => {
      const scores = this.#model.scoreExtension(sequences, targets, this.#cache, rows);
      return Promise.all([
        read(scores.logProbability),
        read(scores.greedy),
        read(scores.greedyLogProbability),
      ]);
    });
    return { logProbability, greedy, greedyLogProbability };
  }

  /** Copies the text of a row to others. */
  copy(from: number, to: readonly number[]): void {
    this.#cache.copyRows(to.map(() => from), to);
  }

  /** Empties rows. */
  release(rows: readonly number[]): void {
    this.#cache.release(rows);
  }

  /** Closes its scope before the read is awaited: other code may use scopes in the meantime. */
  #begin<T>(compute: () => Promise<T>): Promise<T> {
    using _scope = this.#device.noGradient();
    return compute();
  }

  /** Frees the cache. */
  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
  }
}
