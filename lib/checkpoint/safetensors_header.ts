/**
 * The header of a safetensors file: its length in 8 bytes, then JSON with each tensor's dtype,
 * shape and byte range in the data that follows.
 *
 * @module
 */

import { CheckpointError } from "../errors.ts";

/** Element types, under the format's names. */
export type SafetensorsDType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "F8_E4M3"
  | "F8_E5M2"
  | "F8_E4M3FNUZ"
  | "F8_E5M2FNUZ"
  | "F8_E8M0"
  | "F6_E2M3"
  | "F6_E3M2"
  | "F4"
  | "C64"
  | "I64"
  | "U64"
  | "I32"
  | "U32"
  | "I16"
  | "U16"
  | "I8"
  | "U8"
  | "BOOL";

/**
 * Bits per element of every type in the format. Checkpoints hold F32; files of other programs may
 * hold any of them.
 */
const DTYPE_BITS: Readonly<Record<SafetensorsDType, number>> = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F8_E8M0: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
  C64: 64,
  I64: 64,
  U64: 64,
  I32: 32,
  U32: 32,
  I16: 16,
  U16: 16,
  I8: 8,
  U8: 8,
  BOOL: 8,
};

/** The key of the metadata, which no tensor may have as its name. */
const METADATA = "__metadata__";

/** The longest header that readers of the format accept. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Name, dtype and shape of a tensor. */
export interface TensorSpec {
  /** The tensor's name, unique in its file. */
  readonly name: string;
  /** Type of the elements, under the format's name. */
  readonly dtype: SafetensorsDType;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
}

/** A tensor and its byte range in a file. */
export interface TensorPlace extends TensorSpec {
  /** Bytes of all elements. */
  readonly bytes: number;
  /** Offset of the first byte from the end of the header. */
  readonly offset: number;
}

/** The contents of a header. */
export interface SafetensorsHeader {
  /** The tensors in the order of their data. */
  readonly tensors: readonly TensorPlace[];
  /** Free-form strings about the file. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Computes the size of a tensor.
 *
 * @param spec Its dtype and shape.
 * @returns Bytes; 0 if a size is 0; a fraction if elements of 4 or 6 bits do not fill a byte.
 */
export function tensorBytes(spec: Pick<TensorSpec, "dtype" | "shape">): number {
  return spec.shape.reduce((product, size) => product * size, DTYPE_BITS[spec.dtype] / 8);
}

/**
 * Lays tensors out contiguously.
 *
 * @param specs The tensors in the order of their data.
 * @returns The tensors with their byte ranges.
 * @throws {CheckpointError} Two tensors share a name, a name is reserved by the format, or the
 * format has no such dtype or shape.
 */
export function placeTensors(specs: Iterable<TensorSpec>): TensorPlace[] {
  const names = new Set<string>();
  let offset = 0;
  return Array.from(specs, ({ name, dtype, shape }) => {
    if (name === METADATA || names.has(name)) {
      const reason = names.has(name) ? "two tensors have it" : "the format reserves it";
      throw new CheckpointError(`Cannot write tensor ${JSON.stringify(name)}: ${reason}`);
    }
    if (!isDType(dtype) || !isSizes(shape) || !Number.isInteger(tensorBytes({ dtype, shape }))) {
      throw new CheckpointError(
        `Cannot write tensor ${JSON.stringify(name)}: the format has no ${dtype} [${shape}]`,
      );
    }
    names.add(name);
    const place = { name, dtype, shape, offset, bytes: tensorBytes({ dtype, shape }) };
    offset += place.bytes;
    return place;
  });
}

/**
 * Encodes a header, padded with spaces so that the data begins at a multiple of 8 bytes.
 *
 * @param header Tensors and metadata.
 * @returns The first bytes of the file, including the length.
 * @throws {CheckpointError} The header is longer than readers accept.
 */
export function encodeHeader({ tensors, metadata }: SafetensorsHeader): Uint8Array {
  const entries = tensors.map(({ name, dtype, shape, offset, bytes }) =>
    [name, { dtype, shape, data_offsets: [offset, offset + bytes] }] as const
  );
  const about = Object.keys(metadata).length > 0 ? [[METADATA, metadata] as const] : [];
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([...about, ...entries])));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `Cannot write a header of ${length} bytes: readers accept ${MAX_HEADER_BYTES}`,
    );
  }
  const encoded = new Uint8Array(8 + length).fill(0x20);
  new DataView(encoded.buffer).setBigUint64(0, BigInt(length), true);
  encoded.set(json, 8);
  return encoded;
}

/**
 * Decodes and checks the JSON of a header: dtypes must be known, sizes must agree, names must be
 * unique, and the tensors must fill the data without holes or overlaps.
 *
 * @param json The header's bytes without the length.
 * @param dataBytes Bytes after the header in the file.
 * @returns The header.
 * @throws {CheckpointError} The header is malformed; the message does not name the file.
 */
export function decodeHeader(json: Uint8Array, dataBytes: number): SafetensorsHeader {
  const root = parseObject(json);
  const tensors: TensorPlace[] = [];
  // `Object.entries()` takes four times as long for 300,000 tensors.
  for (const name in root) {
    if (name !== METADATA) tensors.push(decodePlace(name, root[name]));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end) {
      const fault = offset > end ? "leaves a hole before it" : "overlaps the one before it";
      throw new CheckpointError(`tensor ${name} ${fault}: it begins at ${offset}, not ${end}`);
    }
    end += bytes;
  }
  if (end !== dataBytes) {
    throw new CheckpointError(`the tensors take ${end} bytes, the file holds ${dataBytes}`);
  }
  return { tensors, metadata: decodeMetadata(root[METADATA]) };
}

function parseObject(json: Uint8Array): Record<string, unknown> {
  // Padding is allowed only at the end: other programs check the first byte.
  if (json[0] !== 0x7b) throw new CheckpointError("its header does not begin with {");
  let root: Record<string, unknown>;
  try {
    root = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw new CheckpointError("its header is not JSON in UTF-8", { cause });
  }
  if (countKeys(json) !== countParsedKeys(root)) {
    throw new CheckpointError("its header names a key twice");
  }
  return root;
}

function decodePlace(name: string, entry: unknown): TensorPlace {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (!isDType(dtype)) {
    throw new CheckpointError(
      `tensor ${name} has dtype ${JSON.stringify(dtype)}, which is none of ` +
        Object.keys(DTYPE_BITS).join(", "),
    );
  }
  if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    throw new CheckpointError(`tensor ${name} has a shape or offsets that are not whole numbers`);
  }
  const spec = { name, dtype, shape };
  const bytes = tensorBytes(spec);
  const [begin, end] = offsets as [number, number];
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes) {
    throw new CheckpointError(
      `tensor ${name} [${shape.join(", ")}] of ${dtype} takes ${bytes} bytes, ` +
        `its offsets span ${end - begin}`,
    );
  }
  return { ...spec, bytes, offset: begin };
}

function decodeMetadata(about: unknown): Record<string, string> {
  if (about === undefined) return {};
  const isTexts = typeof about === "object" && about !== null && !Array.isArray(about) &&
    Object.values(about).every((value) => typeof value === "string");
  if (!isTexts) throw new CheckpointError(`its ${METADATA} is not a map of texts`);
  return about as Record<string, string>;
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === "string" && Object.hasOwn(DTYPE_BITS, value);
}

/** Whether a value is an array of integers of at least 0, such as a shape. */
export function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && !value.includes(undefined) &&
    value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/**
 * Counts the keys in valid JSON, which are the colons outside strings. `JSON.parse` silently keeps
 * the last of two equal keys, so comparing the counts reveals duplicates.
 */
function countKeys(json: Uint8Array): number {
  const [quote, backslash, colon] = [0x22, 0x5c, 0x3a];
  let keys = 0;
  let isInside = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === quote) isInside = !isInside;
    else if (byte === backslash) at++;
    else if (byte === colon && !isInside) keys++;
  }
  return keys;
}

function countParsedKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const inner of value) count += countParsedKeys(inner);
    return count;
  }
  const group = value as Record<string, unknown>;
  for (const key in group) count += 1 + countParsedKeys(group[key]);
  return count;
}
