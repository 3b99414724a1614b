/** Reads event files for tests, independently of `lib/run/tensorboard`. @module */

import { assert, assertEquals } from "@std/assert";

/** A message in wire format: values by field number, in order. */
export type Fields = Map<number, (number | Uint8Array)[]>;

/** One value of a summary. */
export interface ReadValue {
  readonly tag: string;
  readonly scalar?: number;
  readonly buckets?: readonly number[];
  readonly limits?: readonly number[];
  readonly text?: string;
  readonly description?: string;
}

/** One event. */
export interface ReadEvent {
  readonly seconds: number;
  readonly step: number;
  readonly version?: string;
  readonly starts: boolean;
  readonly values: readonly ReadValue[];
}

/**
 * CRC-32C bit by bit, most significant first over mirrored bytes: no table, no reversed polynomial.
 */
export function slowCrc32c(bytes: Uint8Array): number {
  const mirror = (value: number, bits: number): number =>
    Array.from({ length: bits }, (_, i) => (value >>> i) & 1).reduce(
      (sum, bit) => sum * 2 + bit,
      0,
    );
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc = (crc ^ (mirror(byte, 8) << 24)) >>> 0;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x80000000 ? (crc << 1) ^ 0x1edc6f41 : crc << 1) >>> 0;
    }
  }
  return (mirror(crc, 32) ^ 0xffffffff) >>> 0;
}

/** Each record's data, with verified checksums. */
export function readRecords(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const check = (from: number, to: number): void => {
    const crc = BigInt(slowCrc32c(bytes.subarray(from, to)));
    const turned = (crc >> 15n) | (crc << 17n) & 0xffffffffn;
    assertEquals(view.getUint32(to, true), Number((turned + 0xa282ead8n) & 0xffffffffn));
  };
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    check(at, at + 8);
    check(at + 12, at + 12 + length);
    records.push(bytes.subarray(at + 12, at + 12 + length));
    at += 12 + length + 4;
    assert(at <= bytes.length, "a whole record");
  }
  return records;
}

/** The events of a file. */
export function readEvents(path: string): ReadEvent[] {
  return readRecords(Deno.readFileSync(path)).map(decodeEvent);
}

/** A folder's event files, in TensorBoard's order. */
export function eventPaths(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`).sort();
}

/** Decodes any message. */
export function decode(bytes: Uint8Array): Fields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const values = fields.get(key >> 3) ?? [];
    fields.set(key >> 3, values);
    switch (key & 7) {
      case 0:
        values.push(varint());
        break;
      case 1:
        values.push(view.getFloat64(at, true));
        at += 8;
        break;
      case 2: {
        const length = varint();
        values.push(bytes.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        values.push(view.getFloat32(at, true));
        at += 4;
        break;
      default:
        throw new Error(`wire type ${key & 7}`);
    }
  }
  assertEquals(at, bytes.length);
  return fields;
}

function decodeEvent(bytes: Uint8Array): ReadEvent {
  const fields = decode(bytes);
  const version = fields.get(3)?.[0];
  const summary = fields.get(5)?.[0];
  const log = fields.get(7)?.[0];
  return {
    seconds: fields.get(1)![0] as number,
    step: fields.get(2)![0] as number,
    ...(version === undefined ? {} : { version: textOf(version) }),
    starts: log !== undefined && decode(log as Uint8Array).get(1)?.[0] === 1,
    values: summary === undefined
      ? []
      : (decode(summary as Uint8Array).get(1) as Uint8Array[]).map(decodeValue),
  };
}

function decodeValue(bytes: Uint8Array): ReadValue {
  const fields = decode(bytes);
  const inner = (field: number): Fields | undefined => {
    const value = fields.get(field)?.[0];
    return value === undefined ? undefined : decode(value as Uint8Array);
  };
  const scalar = fields.get(2)?.[0] as number | undefined;
  const histogram = inner(5);
  const text = inner(8)?.get(8)?.[0];
  const description = inner(9)?.get(3)?.[0];
  return {
    tag: textOf(fields.get(1)![0]!),
    ...(scalar === undefined ? {} : { scalar }),
    ...(histogram === undefined
      ? {}
      : { limits: doublesOf(histogram.get(6)![0]!), buckets: doublesOf(histogram.get(7)![0]!) }),
    ...(text === undefined ? {} : { text: textOf(text) }),
    ...(description === undefined ? {} : { description: textOf(description) }),
  };
}

function textOf(bytes: number | Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes as Uint8Array);
}

function doublesOf(bytes: number | Uint8Array): number[] {
  return [...new Float64Array((bytes as Uint8Array).slice().buffer)];
}
