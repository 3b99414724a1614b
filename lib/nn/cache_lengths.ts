/** Sequence lengths of a key/value cache. @module */

import { ownList, requireWhole, shown } from "../arguments.ts";
import { smallest } from "../extremes.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { fill, upload } from "../tensor/transfer.ts";
import type { PlacedTokens } from "./new_tokens.ts";

/**
 * Lengths of a cache's sequences, on the host and on the device.
 *
 * Layers are written one after the other, and the lengths are raised once all of them are. Until
 * then a written layer holds more tokens of some sequences than the lengths say.
 */
export class CacheLengths implements Disposable {
  readonly #capacity: number;
  readonly #onDevice: DeviceTensor<"i32">;
  /** Per layer, the tokens of each sequence that it holds; null where they are the lengths. */
  readonly #held: (number[] | null)[];
  #lengths: readonly number[];

  /** Starts with all lengths 0. */
  constructor(memory: DeviceMemory, layers: number, batch: number, capacity: number) {
    this.#capacity = capacity;
    this.#onDevice = memory.allocateAtRoot("i32", [batch], "the cache");
    fill(this.#onDevice, 0);
    this.#held = new Array(layers).fill(null);
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
    for (let b = 0; b < count; b++) {
      const length: unknown = lengths[b];
      const name = `lengths[${b}]`;
      requireWhole("set the tokens of a cache", name, length, { most: this.#capacity });
      if (length <= this.#lengths[b]! && !this.#held.some((held) => held !== null)) continue;
      const byLayer = this.#held.map((held) => (held ?? this.#lengths)[b]!);
      const held = smallest(byLayer);
      if (length > held) {
        throw new RangeError(
          `Cannot set the tokens of a cache: ${name} is ${length}, but layer ` +
            `${byLayer.indexOf(held)} holds ${held}: fill() or attend() with every layer first`,
        );
      }
    }
    this.replace(lengths);
  }

  /** Sets the lengths to what every layer is known to hold. */
  replace(lengths: readonly number[]): void {
    upload(this.#onDevice, Int32Array.from(lengths));
    this.#lengths = lengths;
    this.#held.fill(null);
  }

  /** Throws unless every row that gets new tokens has room for them. */
  requireRoom({ rows, counts }: PlacedTokens): void {
    const full = rows.findIndex((row, i) => this.#lengths[row]! + counts[i]! > this.#capacity);
    if (full < 0) return;
    const row = rows[full]!;
    const what = counts[full] === 1 ? "a token" : `${counts[full]} tokens`;
    throw new RangeError(
      `Cannot add ${what} to sequence ${row}: it has ${this.#lengths[row]}, and the cache has ` +
        `room for ${this.#capacity} tokens`,
    );
  }

  /**
   * Starts new sequences in a layer. If it held any, all layers are emptied: theirs are stale.
   *
   * @returns Whether the layers were emptied.
   */
  begin(layer: number): boolean {
    if (this.#held[layer] === null && this.#lengths.every((length) => length === 0)) return false;
    this.replace(new Array(this.#lengths.length).fill(0));
    return true;
  }

  /** Notes that a layer holds new tokens, after those that the lengths count. */
  holdsBeyond(layer: number, { rows, counts }: PlacedTokens): void {
    const held = [...this.#held[layer] ?? this.#lengths];
    for (const [i, row] of rows.entries()) held[row] = this.#lengths[row]! + counts[i]!;
    this.#held[layer] = held;
  }

  /** Frees the device's copy. */
  [Symbol.dispose](): void {
    this.#onDevice[Symbol.dispose]();
  }
}
