/**
 * The part of the protocol buffers wire format that event files need: a sequence of fields, each a
 * number, a wire type and a value.
 *
 * @module
 */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** An encoded message, or some of its fields. */
export type Encoded = readonly number[];

/**
 * Encodes an integer or enumeration field.
 *
 * @param field The field's number.
 * @param value At least 0, at most 2^53 - 1.
 * @returns The field.
 */
export function integer(field: number, value: number): Encoded {
  return [...key(field, VARINT), ...varint(value)];
}

/**
 * Encodes a 64-bit floating-point field.
 *
 * @param field The field's number.
 * @param value Any number.
 * @returns The field.
 */
export function double(field: number, value: number): Encoded {
  return [...key(field, FIXED64), ...new Uint8Array(Float64Array.of(value).buffer)];
}

/**
 * Encodes a 32-bit floating-point field.
 *
 * @param field The field's number.
 * @param value Any number; rounded to 32 bits.
 * @returns The field.
 */
export function float(field: number, value: number): Encoded {
  return [...key(field, FIXED32), ...new Uint8Array(Float32Array.of(value).buffer)];
}

/**
 * Encodes a packed list of 64-bit floating-point numbers.
 *
 * @param field The field's number.
 * @param values The numbers.
 * @returns The field.
 */
export function doubles(field: number, values: readonly number[]): Encoded {
  return message(field, [...new Uint8Array(Float64Array.from(values).buffer)]);
}

/**
 * Encodes a string field.
 *
 * @param field The field's number.
 * @param text The text; a lone surrogate becomes U+FFFD.
 * @returns The field.
 */
export function string(field: number, text: string): Encoded {
  return message(field, [...new TextEncoder().encode(text)]);
}

/**
 * Encodes a field that is itself a message.
 *
 * @param field The field's number.
 * @param parts The inner message's fields.
 * @returns The field.
 */
export function message(field: number, ...parts: readonly Encoded[]): Encoded {
  const inner = parts.flat();
  return [...key(field, BYTES), ...varint(inner.length), ...inner];
}

/**
 * Reads a varint, least significant seven bits first.
 *
 * @param bytes The bytes that hold it.
 * @param offset Its first byte.
 * @returns The value; NaN if the bytes end too early.
 */
export function readVarint(bytes: Uint8Array, offset: number): number {
  let [value, scale] = [0, 1];
  for (let i = offset; i < bytes.length; i++, scale *= 128) {
    value += (bytes[i]! & 0x7f) * scale;
    if (bytes[i]! < 0x80) return value;
  }
  return NaN;
}

function key(field: number, kind: number): number[] {
  return varint(field * 8 + kind);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  // Division, because shifts would truncate to 32 bits.
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  bytes.push(rest);
  return bytes;
}
