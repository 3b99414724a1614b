import { shown } from "../arguments.ts";

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Key increments per round: the fractions of the golden ratio and of √3, in 32 bits. */
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The two words of a Philox key, low word first. */
export type PhiloxKey = readonly [number, number];

/** The four words of a Philox counter. */
export type PhiloxCounter = readonly [number, number, number, number];

/**
 * Draws from the counter-based generator Philox 4x32-10 (Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011), bit for bit as the kernels do. Four random words are a function of
 * a key and a counter: there is no state to save, and a resumed run draws the same numbers.
 *
 * @param counter Four unsigned 32-bit words.
 * @param key Two unsigned 32-bit words, see {@linkcode philoxKey}.
 * @param target Where to put the words; a new array by default.
 * @returns Four random unsigned 32-bit words, in `target`.
 * @throws {RangeError} If a word of the counter or the key is out of range.
 * @throws {TypeError} If the target is not a `Uint32Array` of at least four words.
 *
 * @example
 * ```ts
 * import { philox4x32 } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const words = philox4x32([0, 0, 0, 0], [0, 0]);
 * assertEquals([...words], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
 * ```
 */
export function philox4x32(
  counter: PhiloxCounter,
  key: PhiloxKey,
  target: Uint32Array<ArrayBuffer> = new Uint32Array(4),
): Uint32Array<ArrayBuffer> {
  checkWords(counter, 4, "counter");
  checkWords(key, 2, "key");
  if (!(target instanceof Uint32Array && target.length >= 4)) {
    throw new TypeError(`Cannot draw into ${shown(target)}: give a Uint32Array of four words`);
  }
  return drawWords(counter, key, target);
}

function checkWords(words: readonly number[], count: number, what: string): void {
  const isRight = Array.isArray(words) && words.length === count &&
    words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32);
  if (isRight) return;
  throw new RangeError(
    `Cannot draw with the ${what} ${shown(words)}: expected ${count} integers from 0 to 2^32 - 1`,
  );
}

/** {@linkcode philox4x32} without its checks, which cost as much as a draw. */
export function drawWords(
  counter: PhiloxCounter,
  key: PhiloxKey,
  target: Uint32Array<ArrayBuffer>,
): Uint32Array<ArrayBuffer> {
  // By index, as they were checked: an iterator could yield other words.
  let { 0: c0, 1: c1, 2: c2, 3: c3 } = counter;
  let { 0: k0, 1: k1 } = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  target[0] = c0;
  target[1] = c1;
  target[2] = c2;
  target[3] = c3;
  return target;
}

/**
 * Makes a key from a seed.
 *
 * @param seed An integer from 0 to 2^53 - 1.
 * @returns Its low and high words, as the kernels take them from their 64-bit seed.
 * @throws {RangeError} If the seed is not such an integer.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { philoxKey } from "@remoe/remoe/data";
 *
 * assert(philoxKey(2 ** 32 + 5).join() === "5,1");
 * ```
 */
export function philoxKey(seed: number): PhiloxKey {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(
      `Cannot seed with ${shown(seed)}: a seed is an integer from 0 to 2^53 - 1`,
    );
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/**
 * Computes the high word of a 32 × 32-bit product from four products of 16-bit halves. No sum
 * exceeds 2^32, so `>>> 0` after each keeps it exact without BigInt.
 */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const lower = Math.imul(aLow, bLow) >>> 16;
  const middle = ((Math.imul(aHigh, bLow) >>> 0) + lower) >>> 0;
  const carry = ((Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff)) >>> 16;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + carry) | 0;
}
