/**
 * CRC-32C (Castagnoli), the checksum of TensorFlow's record files. `node:zlib` has CRC-32 only,
 * which is another polynomial.
 *
 * @module
 */

/** 0x1EDC6F41 with its bits reversed, since each byte is taken from its lowest bit. */
const POLYNOMIAL = 0x82f63b78;

const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder >>> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
  }
  return remainder;
});

/**
 * Works out the checksum.
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
 * The checksum as records hold it: turned and shifted, so that the checksum of bytes which hold
 * checksums themselves stays meaningful.
 *
 * @param bytes Any bytes.
 * @returns An unsigned 32-bit number.
 */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
