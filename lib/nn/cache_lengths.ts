/** How many tokens of each sequence the layers of a cache hold. @module */

import { ownList, requireWhole, shown } from "../arguments.ts";
import { smallest } from "../extremes.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { fill, upload } from "../tensor/transfer.ts";

/**
 * The lengths of a cache's sequences, here and on the device.
 *
 * Layers are written one after the other, the lengths follow when all are. Until then a layer holds
 * more than the lengths say, as many tokens more in each sequence: one number per layer keeps it.
 */
export class CacheLengths implements Disposable {
  readonly #capacity: number;
  readonly #onDevice: DeviceTensor<"i32">;
  /** Tokens of each sequence that a layer holds beyond the lengths. */
  readonly #ahead: number[];
  #lengths: readonly number[];

  /** Those of an empty cache. */
  constructor(memory: DeviceMemory, layers: number, batch: number, capacity: number) {
    this.#capacity = capacity;
    this.#onDevice = memory.allocateAtRoot("i32", [batch], "the cache");
    fill(this.#onDevice, 0);
    this.#ahead = new Array(layers).fill(0);
    this.#lengths = new Array(batch).fill(0);
  }

  /** Tokens of each sequence. */
  get values(): readonly number[] {
    return this.#lengths;
  }

  /** Where the device reads them. */
  get address(): bigint {
    return this.#onDevice.address;
  }

  /** Sets the tokens of each sequence, at most as many as every layer holds. */
  set(given: readonly number[]): void {
    const count = this.#lengths.length;
    if (!Array.isArray(given) || given.length !== count) {
      throw new RangeError(
        `Cannot set the lengths of ${count} sequences to ${shown(given)}: ` +
          `an array with one for each is needed`,
      );
    }
    const lengths = ownList<number>(given);
    const ahead = smallest(this.#ahead);
    for (let b = 0; b < count; b++) {
      const length: unknown = lengths[b];
      const name = `lengths[${b}]`;
      requireWhole("set the tokens of a cache", name, length, { most: this.#capacity });
      const held = this.#lengths[b]! + ahead;
      if (length > held) {
        const layer = this.#ahead.indexOf(ahead);
        throw new RangeError(
          `Cannot set the tokens of a cache: ${name} is ${length}, but layer ${layer} holds ` +
            `${held}: fill() or attend() with every layer first`,
        );
      }
    }
    upload(this.#onDevice, Int32Array.from(lengths));
    this.#lengths = lengths;
    this.#ahead.fill(0);
  }

  /** Room for one token more in each sequence, or an error. */
  requireRoom(): void {
    const full = this.#lengths.findIndex((length) => length >= this.#capacity);
    if (full < 0) return;
    throw new RangeError(
      `Cannot add a token to sequence ${full}: the cache has room for ${this.#capacity} tokens`,
    );
  }

  /** Sequences begin anew in a layer: what layers that have tokens hold is of other sequences. */
  begin(layer: number): void {
    if (this.#ahead[layer] === 0 && this.#lengths.every((length) => length === 0)) return;
    this.set(new Array(this.#lengths.length).fill(0));
  }

  /** A layer holds as many tokens of each sequence beyond the lengths. */
  holdsBeyond(layer: number, tokens: number): void {
    this.#ahead[layer] = tokens;
  }

  /** Frees the device's copy. */
  [Symbol.dispose](): void {
    this.#onDevice[Symbol.dispose]();
  }
}
