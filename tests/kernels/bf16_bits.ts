/** bf16 on the host, bit for bit: JavaScript numbers may lose the bits of a NaN. @module */

/**
 * Rounds fp32 to bf16, to nearest even.
 *
 * @param words The bits of fp32 numbers.
 * @returns Those of the nearest bf16 numbers; NaN is made quiet.
 */
export function roundedBits(words: Uint32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(words, (word) => {
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    return isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  });
}

/**
 * Widens bf16 to fp32, which is exact.
 *
 * @param halves The bits of bf16 numbers.
 * @returns Those of the same numbers as fp32.
 */
export function widenedBits(halves: Uint16Array): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(halves, (half) => half << 16);
}

/**
 * Finds the first bf16 number that is not the nearest to an fp32 result, up to what a fused
 * multiply-add in place of two operations changes near a tie: the last bit of terms of size 1.
 *
 * @param actual The bits of bf16 numbers.
 * @param exact The bits of the fp32 results.
 * @returns Its place and both numbers, or undefined.
 */
export function firstNotRounded(actual: Uint16Array, exact: Uint32Array): string | undefined {
  const nearest = roundedBits(exact);
  const [values, results] = [widenedBits(actual), exact].map((bits) =>
    new Float32Array(bits.buffer, bits.byteOffset)
  );
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] === nearest[i]) continue;
    const [value, result] = [values![i]!, results![i]!];
    const halfUlp = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 8);
    if (Math.abs(value - result) <= halfUlp * (1 + 2 ** -8) + 2 ** -23) continue;
    return `element ${i} of ${actual.length} is ${value}, but the result in fp32 ${result}`;
  }
  return undefined;
}

/**
 * Finds the first difference.
 *
 * @param actual An array.
 * @param expected One of the same length.
 * @returns Its place and both elements, or undefined.
 */
export function firstDifference<Bits extends Uint8Array | Uint16Array | Uint32Array>(
  actual: Bits,
  expected: Bits,
): string | undefined {
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue;
    const [is, should] = [actual[i]!, expected[i]!].map((bits) => bits.toString(16));
    return `element ${i} of ${expected.length} is 0x${is}, expected 0x${should}`;
  }
  return undefined;
}
