import { shown } from "../arguments.ts";

/**
 * Converts a summed loss to bits per byte of text, a measure that does not depend on the tokenizer.
 *
 * End-of-document targets count in the loss (a model must predict where a text ends) but not in the
 * bytes: `bytes` is {@linkcode Tokenizer.byteLength} of the targets.
 *
 * @param nats The cross-entropy summed over targets, in nats.
 * @param bytes The bytes of text the targets stand for.
 * @returns nats / (ln 2 · bytes).
 * @throws {RangeError} If there are no bytes.
 * @throws {TypeError} If the loss is not a number.
 *
 * @example
 * ```ts
 * import { bitsPerByte, ByteTokenizer } from "@remoe/remoe/data";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const tokenizer = new ByteTokenizer();
 * const targets = [104, 105, tokenizer.endOfDocument];
 * // A uniform guess costs ln 257 nats for each of the three targets, over two bytes of text.
 * const bits = bitsPerByte(3 * Math.log(257), tokenizer.byteLength(targets));
 * assertAlmostEquals(bits, 1.5 * Math.log2(257), 1e-12);
 * ```
 */
export function bitsPerByte(nats: number, bytes: number): number {
  if (typeof nats !== "number") {
    throw new TypeError(`Cannot give bits per byte of ${shown(nats)} nats: give a number`);
  }
  if (!(Number.isFinite(bytes) && bytes > 0)) {
    throw new RangeError(
      `Cannot give bits per byte of ${shown(bytes)} bytes: there must be at least one`,
    );
  }
  return nats / (Math.LN2 * bytes);
}
