/** Distribution and rounding of an array drawn by {@linkcode Random}. */
export interface RandomOptions {
  /** Standard deviation, or half the width of the interval; 1 by default. */
  readonly scale?: number;
  /** Mean, or midpoint of the interval; 0 by default. */
  readonly mean?: number;
  /** Rounds every number to bfloat16, as activations on an accelerator would be. */
  readonly bf16?: boolean;
}

/** A small seeded generator (mulberry32), so that inputs are the same on every machine and run. */
export class Random {
  #state: number;

  /**
   * Seeds the generator.
   *
   * @param seed Any text. A case uses its own name, so adding cases does not change other cases'
   * inputs.
   */
  constructor(seed: string) {
    // FNV-1a.
    let hash = 0x811c9dc5;
    for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
    this.#state = hash >>> 0;
  }

  /**
   * Draws the next number.
   *
   * @returns A number in [0, 1) with 32 random bits.
   */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /**
   * Draws an integer.
   *
   * @param end The exclusive upper bound.
   * @returns An integer in [0, end).
   */
  integer(end: number): number {
    return Math.floor(this.next() * end);
  }

  /**
   * Draws one normal number by Box-Muller.
   *
   * @returns A number with mean 0 and variance 1.
   */
  gaussian(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  /**
   * Draws an array of normal numbers.
   *
   * @param length How many.
   * @param options Scale, mean and rounding.
   * @returns fp32 numbers.
   */
  normal(length: number, options: RandomOptions = {}): Float32Array<ArrayBuffer> {
    return this.#fill(length, options, () => this.gaussian());
  }

  /**
   * Draws an array of numbers uniform in mean - scale to mean + scale.
   *
   * @param length How many.
   * @param options Scale, mean and rounding.
   * @returns fp32 numbers.
   */
  uniform(length: number, options: RandomOptions = {}): Float32Array<ArrayBuffer> {
    return this.#fill(length, options, () => 2 * this.next() - 1);
  }

  /**
   * Draws an array of integers.
   *
   * @param length How many.
   * @param end The exclusive upper bound.
   * @returns Integers in [0, end).
   */
  integers(length: number, end: number): Int32Array<ArrayBuffer> {
    const values = new Int32Array(length);
    for (let i = 0; i < length; i++) values[i] = this.integer(end);
    return values;
  }

  #fill(
    length: number,
    { scale = 1, mean = 0, bf16 = false }: RandomOptions,
    draw: () => number,
  ): Float32Array<ArrayBuffer> {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = mean + scale * draw();
    return bf16 ? fromBfloat16(toBfloat16(values)) : values;
  }
}

/**
 * Rounds to bfloat16, to nearest even.
 *
 * @param values Numbers, rounded once even if they are not fp32.
 * @returns The upper halves of the rounded fp32 numbers.
 */
export function toBfloat16(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const floats = Float32Array.from(values);
  const bits = new Uint32Array(floats.buffer);
  const halves = new Uint16Array(bits.length);
  // Loops, since callbacks for each element take longer than most kernels.
  for (let i = 0; i < bits.length; i++) {
    const nearest = bits[i]!;
    const isNaN = (nearest & 0x7fffffff) > 0x7f800000;
    const word = roundedToOdd(nearest, floats[i]!, values[i]!);
    // Rounding could carry a NaN's mantissa into infinity: make it quiet instead.
    halves[i] = isNaN ? (nearest >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/**
 * The bits of a double rounded to fp32 such that a second rounding is as good as one: towards 0,
 * with the last bit set if anything was lost.
 */
function roundedToOdd(nearest: number, float: number, double: number): number {
  if (float === double || !Number.isFinite(float)) return nearest;
  return (Math.abs(float) > Math.abs(double) ? nearest - 1 : nearest) | 1;
}

/**
 * Widens bfloat16 to fp32, which is exact.
 *
 * @param halves bfloat16 numbers.
 * @returns The same numbers as fp32.
 */
export function fromBfloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}
