/**
 * TensorFlow's record files. A record is the length of its data (u64), the length's masked CRC-32C,
 * the data and the data's masked CRC-32C, all little-endian.
 *
 * @module
 */

import { maskedCrc32c } from "./crc32c.ts";

/** Bytes before a record's data. */
const HEADER = 12;
/** Bytes after a record's data. */
const FOOTER = 4;

/**
 * Frames data as a record.
 *
 * @param data The data, less than 4 GiB.
 * @returns The record.
 */
export function encodeRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(HEADER + data.length + FOOTER);
  const view = new DataView(record.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, HEADER);
  view.setUint32(HEADER + data.length, maskedCrc32c(data), true);
  return record;
}

/** The position of a record in its file, and the beginning of its data. */
export interface FoundRecord {
  /** The record's first byte. */
  readonly offset: number;
  /** The byte after the record. */
  readonly next: number;
  /** The first bytes of its data. */
  readonly beginning: Uint8Array;
}

/**
 * Iterates over the records of a file without reading all of their data.
 *
 * @param file The file, open for reading.
 * @param length How many bytes to read of each record's data.
 * @returns The complete records; the first incomplete one, left by a killed process, ends them.
 */
export function* recordsOf(file: Deno.FsFile, length: number): Generator<FoundRecord> {
  const { size } = file.statSync();
  const buffer = new Uint8Array(HEADER + length);
  for (let offset = 0; offset + HEADER + FOOTER <= size;) {
    file.seekSync(offset, Deno.SeekMode.Start);
    const read = file.readSync(buffer) ?? 0;
    if (read < HEADER) return;
    const dataLength = Number(new DataView(buffer.buffer).getBigUint64(0, true));
    const end = offset + HEADER + dataLength + FOOTER;
    if (end > size) return;
    const beginning = buffer.slice(HEADER, Math.min(read, HEADER + dataLength));
    yield { offset, next: end, beginning };
    offset = end;
  }
}
