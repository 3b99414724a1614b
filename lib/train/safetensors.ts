/**
 * Reading and writing files of the safetensors format, tensor by tensor, so that a large model
 * needs no second copy in memory.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { CheckpointError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import { onPath, writeAllSync } from "./files.ts";
import {
  decodeHeader,
  encodeHeader,
  MAX_HEADER_BYTES,
  placeTensors,
  type SafetensorsHeader,
  type TensorPlace,
  type TensorSpec,
} from "./safetensors_header.ts";

/**
 * A tensor to be written.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { SafetensorsFile, type TensorEntry, writeSafetensors } from "@remoe/remoe/train";
 *
 * const entry: TensorEntry = {
 *   name: "large",
 *   dtype: "F32",
 *   shape: [2, 1000],
 *   *read() { // row by row, so that it is never in memory whole
 *     for (const value of [1, 2]) yield new Uint8Array(new Float32Array(1000).fill(value).buffer);
 *   },
 * };
 * const folder = Deno.makeTempDirSync();
 * assert(writeSafetensors(`${folder}/one.safetensors`, [entry]).bytes > 8000);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export interface TensorEntry extends TensorSpec {
  /**
   * Gives the tensor's elements, little-endian and row-major, whole or in pieces. It is called
   * once, when the tensor's turn has come.
   *
   * @returns Its bytes, as many as shape and type ask for.
   */
  read(): Uint8Array | Iterable<Uint8Array>;
}

/** Size and content of a file, as a checkpoint's marker keeps them. */
export interface FileDigest {
  /** Bytes of the file. */
  readonly bytes: number;
  /** SHA-256 of the file in hexadecimal. */
  readonly sha256: string;
}

/**
 * Writes a safetensors file and waits until it is on the disk.
 *
 * @param path The file; it must not exist.
 * @param entries The tensors in the order of their data.
 * @param metadata Free texts about the file.
 * @returns Its size and SHA-256, worked out while writing.
 * @throws {CheckpointError} Two tensors have one name, or a tensor's bytes do not fit its shape.
 * @throws {FileError} The file cannot be written: there is no space, or no permission.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { SafetensorsFile, writeSafetensors } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const path = `${folder}/model.safetensors`;
 * const weight = new Float32Array([1, 2, 3, 4]);
 * writeSafetensors(path, [{
 *   name: "weight",
 *   dtype: "F32",
 *   shape: [2, 2],
 *   read: () => new Uint8Array(weight.buffer),
 * }]);
 * using file = SafetensorsFile.open(path);
 * assertEquals(new Float32Array(file.read("weight").buffer), weight);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function writeSafetensors(
  path: string,
  entries: Iterable<TensorEntry>,
  metadata: Readonly<Record<string, string>> = {},
): FileDigest {
  const list = [...entries];
  const tensors = placeTensors(list);
  const header = encodeHeader({ tensors, metadata });
  return onPath("write", path, () => writeTensors(path, header, tensors, list));
}

function writeTensors(
  path: string,
  header: Uint8Array,
  tensors: readonly TensorPlace[],
  entries: readonly TensorEntry[],
): FileDigest {
  using file = Deno.openSync(path, { write: true, createNew: true });
  const hash = createHash("sha256");
  let bytes = 0;
  const append = (chunk: Uint8Array): void => {
    writeAllSync(file, chunk);
    hash.update(chunk);
    bytes += chunk.length;
  };
  append(header);
  tensors.forEach((tensor, index) => appendTensor(path, tensor, entries[index]!.read(), append));
  file.syncSync();
  return { bytes, sha256: hash.digest("hex") };
}

function appendTensor(
  path: string,
  { name, shape, dtype, bytes }: TensorPlace,
  data: Uint8Array | Iterable<Uint8Array>,
  append: (chunk: Uint8Array) => void,
): void {
  let written = 0;
  for (const chunk of data instanceof Uint8Array ? [data] : data) {
    append(chunk);
    written += chunk.length;
  }
  if (written !== bytes) {
    throw new CheckpointError(
      `Cannot write ${path}: tensor ${name} [${shape.join(", ")}] of ${dtype} takes ${bytes} ` +
        `bytes and gave ${written}`,
    );
  }
}

/**
 * An open safetensors file, whose header has been checked whole.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { SafetensorsFile, writeSafetensors } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * const path = `${folder}/model.safetensors`;
 * const weight = Float32Array.of(1, 2, 3, 4);
 * const read = () => new Uint8Array(weight.buffer);
 * writeSafetensors(path, [{ name: "weight", dtype: "F32", shape: [2, 2], read }], { by: "me" });
 * using file = SafetensorsFile.open(path);
 * assert(file.metadata.by === "me" && file.tensors.get("weight")?.dtype === "F32");
 * const values = new Float32Array(file.read("weight", { dtype: "F32", shape: [2, 2] }).buffer);
 * assert(values.join() === "1,2,3,4");
 * const sizes = [];
 * for (const piece of file.pieces("weight", { dtype: "F32", shape: [2, 2] }, new Uint8Array(8))) {
 *   sizes.push(piece.length);
 * }
 * assert(sizes.join() === "8,8");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class SafetensorsFile implements Disposable {
  /** The tensors by name, in the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorSpec>;
  /** Free texts about the file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The file's path. */
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #places: ReadonlyMap<string, TensorPlace>;
  readonly #dataStart: number;

  private constructor(
    path: string,
    file: Deno.FsFile,
    header: SafetensorsHeader,
    dataStart: number,
  ) {
    this.path = path;
    this.metadata = header.metadata;
    this.#places = new Map(header.tensors.map((place) => [place.name, place]));
    this.tensors = this.#places;
    this.#file = file;
    this.#dataStart = dataStart;
  }

  /**
   * Opens a file and checks its header.
   *
   * @param path The file.
   * @returns The open file; dispose of it to close it.
   * @throws {CheckpointError} Names the file and what is wrong with it.
   */
  static open(path: string): SafetensorsFile {
    let file: Deno.FsFile | undefined;
    try {
      file = Deno.openSync(path);
      const { header, dataStart } = readHeader(file);
      return new SafetensorsFile(path, file, header, dataStart);
    } catch (cause) {
      file?.close();
      const reason = systemReason(cause);
      throw new CheckpointError(`Cannot read ${path}: ${reason}`, { cause });
    }
  }

  /**
   * Reads a tensor.
   *
   * @param name The tensor's name.
   * @param expected What the caller needs; another shape or dtype is an error.
   * @returns Its elements, little-endian and row-major.
   * @throws {CheckpointError} There is no such tensor, it is not as expected, or the file ends.
   */
  read(name: string, expected?: Omit<TensorSpec, "name">): Uint8Array<ArrayBuffer> {
    const place = this.#find(name, expected);
    const bytes = new Uint8Array(place.bytes);
    this.#file.seekSync(this.#dataStart + place.offset, Deno.SeekMode.Start);
    readFull(this.#file, bytes);
    return bytes;
  }

  /**
   * Reads a tensor piece by piece, for one that should not be in memory whole.
   *
   * @param name The tensor's name.
   * @param expected What the caller needs; another shape or dtype is an error.
   * @param buffer What pieces are read into, each over the one before.
   * @returns The pieces in order.
   * @throws {CheckpointError} There is no such tensor, it is not as expected, or the file ends.
   */
  *pieces(
    name: string,
    expected: Omit<TensorSpec, "name">,
    buffer: Uint8Array<ArrayBuffer>,
  ): Generator<Uint8Array<ArrayBuffer>> {
    const place = this.#find(name, expected);
    for (let done = 0; done < place.bytes; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, place.bytes - done));
      this.#file.seekSync(this.#dataStart + place.offset + done, Deno.SeekMode.Start);
      readFull(this.#file, piece);
      yield piece;
    }
  }

  #find(name: string, expected?: Omit<TensorSpec, "name">): TensorPlace {
    const place = this.#places.get(name);
    if (place === undefined) {
      throw new CheckpointError(`Cannot read tensor ${name}: ${this.path} does not hold it`);
    }
    if (expected !== undefined) this.#check(place, expected);
    return place;
  }

  #check(place: TensorPlace, expected: Omit<TensorSpec, "name">): void {
    const [held, needed] = [place, expected].map(({ dtype, shape }) =>
      `${dtype} [${shape.join(", ")}]`
    );
    if (held !== needed) {
      throw new CheckpointError(
        `Cannot read tensor ${place.name}: ${this.path} holds ${held}, the model needs ${needed}`,
      );
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Works out the size and SHA-256 of a file.
 *
 * @param path The file.
 * @returns Both.
 * @throws {FileError} The file cannot be read.
 */
export function digestFile(path: string): FileDigest {
  return onPath("read", path, () => digest(path));
}

function digest(path: string): FileDigest {
  using file = Deno.openSync(path);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(1 << 22);
  let bytes = 0;
  for (let count = file.readSync(buffer); count !== null; count = file.readSync(buffer)) {
    hash.update(buffer.subarray(0, count));
    bytes += count;
  }
  return { bytes, sha256: hash.digest("hex") };
}

function readHeader(file: Deno.FsFile): { header: SafetensorsHeader; dataStart: number } {
  const { size } = file.statSync();
  if (size < 8) throw new CheckpointError(`it has ${size} bytes, too few for a header`);
  const prefix = new Uint8Array(8);
  readFull(file, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, size - 8))) {
    throw new CheckpointError(
      `its header claims ${length} bytes, of ${
        size - 8
      } in the file and ${MAX_HEADER_BYTES} allowed`,
    );
  }
  const json = new Uint8Array(Number(length));
  readFull(file, json);
  const dataStart = 8 + json.length;
  return { header: decodeHeader(json, size - dataStart), dataStart };
}

function readFull(file: Deno.FsFile, target: Uint8Array): void {
  for (let filled = 0; filled < target.length;) {
    const count = file.readSync(target.subarray(filled));
    if (count === null) {
      throw new CheckpointError(`it ends ${target.length - filled} bytes early`);
    }
    filled += count;
  }
}
