/** Multipliers and key increments of Philox 4x32 (Salmon et al., SC 2011, table 2 and section 4.3). */
const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n] as const;
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const;

/** Four 32-bit words. */
export type Words = readonly [number, number, number, number];

/**
 * Philox 4x32 with 10 rounds.
 *
 * @param counter The counter.
 * @param key The key.
 * @returns Four random words.
 */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const p0 = MULTIPLIERS[0] * BigInt(c0);
    const p1 = MULTIPLIERS[1] * BigInt(c2);
    [c0, c1, c2, c3] = [
      (high(p1) ^ c1 ^ k0) >>> 0,
      low(p1),
      (high(p0) ^ c3 ^ k1) >>> 0,
      low(p0),
    ];
    k0 = (k0 + KEY_STEPS[0]) >>> 0;
    k1 = (k1 + KEY_STEPS[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The source of a draw: the key and the fixed part of the counter. */
export interface Draw {
  /** 64-bit seed, the key. */
  readonly seed: bigint;
  /** The drawing operation. */
  readonly operation: number;
  /** The step. */
  readonly step: number;
}

/**
 * The random numbers of the contract.
 *
 * @param distribution The distribution.
 * @param count How many.
 * @param a Lower end of the interval, or mean.
 * @param b Upper end of the interval, or standard deviation.
 * @param draw Seed, operation and step.
 * @returns The numbers.
 */
export function randomNumbers(
  distribution: "uniform" | "normal",
  count: number,
  a: number,
  b: number,
  { seed, operation, step }: Draw,
): Float64Array {
  const key = [low(seed), high(seed)] as const;
  const numbers = new Float64Array(count);
  for (let i = 0; i < count; i += 4) {
    const block = i / 4;
    const words = philox(
      [block >>> 0, Math.floor(block / 2 ** 32), operation, step],
      key,
    );
    for (let j = 0; j < 4 && i + j < count; j++) {
      numbers[i + j] = distribution === "uniform"
        ? a + (b - a) * (words[j]! >>> 8) * 2 ** -24
        : a + b * boxMuller(words[j & 2]!, words[j | 1]!, (j & 1) === 1);
    }
  }
  return numbers;
}

function boxMuller(even: number, odd: number, isSine: boolean): number {
  const radius = Math.sqrt(-2 * Math.log((even + 1) * 2 ** -32));
  const angle = 2 * Math.PI * odd * 2 ** -32;
  return radius * (isSine ? Math.sin(angle) : Math.cos(angle));
}

function low(word: bigint): number {
  return Number(word & 0xffffffffn);
}

function high(word: bigint): number {
  return Number((word >> 32n) & 0xffffffffn);
}
