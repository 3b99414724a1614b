/**
 * CRC-32C (Castagnoli), the checksum of TensorFlow's record files. `node:zlib` has only CRC-32,
 * with a different polynomial.
 *
 * @module
 */

/** 0x1EDC6F41 with its bits reversed, since bytes are processed from the lowest bit. */
const POLYNOMIAL = 0x82f63b78;

const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder >>> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
  }
  return remainder;
});

/**
 * Computes the checksum.
 *
 * @param bytes Any bytes.
 * @returns An unsigned 32-bit number.
 */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * Computes the checksum as records store it: rotated and offset, because a CRC over data that
 * embeds CRCs is weak.
 *
 * @param bytes Any bytes.
 * @returns An unsigned 32-bit number.
 */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
