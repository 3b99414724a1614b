/** Sequence lengths of a key/value cache. @module */

import { ownList, requireWhole, shown } from "../arguments.ts";
import { smallest } from "../extremes.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { fill, upload } from "../tensor/transfer.ts";

/**
 * Lengths of a cache's sequences, on the host and on the device.
 *
 * Layers are written one after the other, and the lengths are raised once all of them are. Until
 * then a written layer holds more tokens than the lengths say. The surplus is the same for every
 * sequence, so one number per layer tracks it.
 */
export class CacheLengths implements Disposable {
  readonly #capacity: number;
  readonly #onDevice: DeviceTensor<"i32">;
  /** Per layer, the tokens of each sequence that it holds beyond the lengths. */
  readonly #ahead: number[];
  #lengths: readonly number[];

  /** Starts with all lengths 0. */
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

  /** Device address of the lengths. */
  get address(): bigint {
    return this.#onDevice.address;
  }

  /** Sets the length of each sequence, at most what every layer holds. */
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

  /** Throws unless every sequence has room for one more token. */
  requireRoom(): void {
    const full = this.#lengths.findIndex((length) => length >= this.#capacity);
    if (full < 0) return;
    throw new RangeError(
      `Cannot add a token to sequence ${full}: the cache has room for ${this.#capacity} tokens`,
    );
  }

  /**
   * Starts new sequences in a layer. If it held any, all layers are emptied: theirs are stale.
   *
   * @returns Whether the layers were emptied.
   */
  begin(layer: number): boolean {
    if (this.#ahead[layer] === 0 && this.#lengths.every((length) => length === 0)) return false;
    this.set(new Array(this.#lengths.length).fill(0));
    return true;
  }

  /** Notes that a layer holds `tokens` more per sequence than the lengths say. */
  holdsBeyond(layer: number, tokens: number): void {
    this.#ahead[layer] = tokens;
  }

  /** Frees the device's copy. */
  [Symbol.dispose](): void {
    this.#onDevice[Symbol.dispose]();
  }
}
