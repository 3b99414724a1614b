import { shown } from "../arguments.ts";
import { drawWords, type PhiloxKey, philoxKey } from "./philox.ts";

/** "SHUF" in ASCII, as the operation in Philox's counter: separate from the kernels' draws. */
const OPERATION = 0x53485546;

/**
 * Four rounds make a Feistel network of random functions a strong pseudorandom permutation. Twice
 * as many, because the halves are small and Philox is cheap next to copying a window.
 */
const ROUNDS = 8;

/**
 * A random order of 0 to size - 1 that is computed, not stored.
 *
 * A Feistel network permutes the integers of 2h bits, whatever its round function: here Philox,
 * keyed by the seed, with the epoch in its counter. Results outside the range are permuted again
 * (cycle walking), which yields a permutation of the range. With 2h the smallest even number of
 * bits that holds the range, that takes fewer than four tries on average. The order of a billion
 * windows thus needs no memory, and a resumed run finds any position at once.
 *
 * @example
 * ```ts
 * import { Permutation } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const order = new Permutation(5, 42, 0);
 * const shuffled = [0, 1, 2, 3, 4].map((i) => order.at(i));
 * assertEquals(shuffled.toSorted(), [0, 1, 2, 3, 4]);
 * ```
 */
export class Permutation {
  /** How many integers are permuted. */
  readonly size: number;
  readonly #epoch: number;
  readonly #key: PhiloxKey;
  readonly #halfBits: number;
  readonly #halfMask: number;
  readonly #words = new Uint32Array(4);

  /**
   * Chooses an order.
   *
   * @param size How many integers to permute, 1 to 2^32.
   * @param seed An integer from 0 to 2^53 - 1.
   * @param epoch An integer from 0 to 2^32 - 1; each has a different order.
   * @throws {RangeError} If one of them is out of range.
   */
  constructor(size: number, seed: number, epoch: number) {
    if (!Number.isInteger(size) || size < 1 || size > 2 ** 32) {
      throw new RangeError(`Cannot permute ${shown(size)} integers: there may be 1 to 2^32`);
    }
    if (!Number.isInteger(epoch) || epoch < 0 || epoch >= 2 ** 32) {
      throw new RangeError(`Cannot permute for epoch ${shown(epoch)}: epochs are 0 to 2^32 - 1`);
    }
    this.size = size;
    this.#epoch = epoch;
    this.#key = philoxKey(seed);
    this.#halfBits = Math.max(1, Math.ceil(Math.log2(size) / 2));
    this.#halfMask = 2 ** this.#halfBits - 1;
  }

  /**
   * Computes the integer at a position of the order.
   *
   * @param index A position, 0 to size - 1.
   * @returns The integer there, 0 to size - 1.
   * @throws {RangeError} If there is no such position.
   */
  at(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.size) {
      throw new RangeError(
        `Cannot find position ${shown(index)} of a permutation of ${this.size} integers`,
      );
    }
    let value = index;
    do value = this.#encrypt(value); while (value >= this.size);
    return value;
  }

  #encrypt(value: number): number {
    let left = Math.floor(value / 2 ** this.#halfBits);
    let right = value % 2 ** this.#halfBits;
    for (let round = 0; round < ROUNDS; round++) {
      const word = drawWords([right, round, OPERATION, this.#epoch], this.#key, this.#words)[0]!;
      [left, right] = [right, (left ^ (word & this.#halfMask)) >>> 0];
    }
    return left * 2 ** this.#halfBits + right;
  }
}
