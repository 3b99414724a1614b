/**
 * Which of the format's elements can be read, and those that become fp32 without losing a bit.
 *
 * @module
 */

import type { SafetensorsDType } from "./safetensors_header.ts";

/** What a reader gets as it is; other types are listed, but no caller here could use them. */
export const READABLE: readonly SafetensorsDType[] = ["F32", "BF16", "F16", "F64", "I32", "I64"];

/** Types of 16 bits, every value of which fp32 has. */
const HALVES: readonly SafetensorsDType[] = ["F16", "BF16"];

/** Whether elements of one type are asked for as another that holds each of them exactly. */
export function widens(held: SafetensorsDType, asked: SafetensorsDType): boolean {
  return asked === "F32" && HALVES.includes(held);
}

/**
 * Turns 16-bit floating-point numbers into fp32.
 *
 * @param bytes Elements, little-endian, from a multiple of 2 bytes in their buffer.
 * @param held Their type.
 * @param target What the fp32 bytes are written to, twice as many, from a multiple of 4 bytes.
 */
export function widen(
  bytes: Uint8Array<ArrayBuffer>,
  held: SafetensorsDType,
  target: Uint8Array<ArrayBuffer>,
): void {
  const count = bytes.length / 2;
  if (held === "F16") {
    const values = new Float32Array(target.buffer, target.byteOffset, count);
    values.set(new Float16Array(bytes.buffer, bytes.byteOffset, count));
    return;
  }
  // The upper half of an fp32's bits.
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  const bits = new Uint32Array(target.buffer, target.byteOffset, count);
  for (let i = 0; i < count; i++) bits[i] = words[i]! << 16;
}
