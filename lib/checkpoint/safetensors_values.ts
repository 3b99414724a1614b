/**
 * Which element types can be read, and which widen to fp32 losslessly.
 *
 * @module
 */

import type { SafetensorsDType } from "./safetensors_header.ts";

/** Types that can be read. Others are only listed: no caller here could use them. */
export const READABLE: readonly SafetensorsDType[] = ["F32", "BF16", "F16", "F64", "I32", "I64"];

/** 16-bit types whose every value fp32 can represent. */
const HALVES: readonly SafetensorsDType[] = ["F16", "BF16"];

/** Whether elements of type `held` convert exactly to type `asked`. */
export function widens(held: SafetensorsDType, asked: SafetensorsDType): boolean {
  return asked === "F32" && HALVES.includes(held);
}

/**
 * Widens 16-bit floating-point numbers to fp32.
 *
 * @param bytes Elements, little-endian, aligned to 2 bytes in their buffer.
 * @param held Their type.
 * @param target Receives the fp32 bytes; twice as long, aligned to 4 bytes.
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
  // A BF16 is the upper half of an fp32.
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  const bits = new Uint32Array(target.buffer, target.byteOffset, count);
  for (let i = 0; i < count; i++) bits[i] = words[i]! << 16;
}
