/**
 * Reads safetensors files tensor by tensor, so a large model needs no second copy in memory.
 *
 * @module
 */

import { requireObject, requirePath, shown } from "../arguments.ts";
import { CheckpointError, FileError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import { OpenFile } from "../files.ts";
import { READABLE, widen, widens } from "./safetensors_values.ts";
import {
  decodeHeader,
  isSizes,
  MAX_HEADER_BYTES,
  type SafetensorsHeader,
  type TensorPlace,
  type TensorSpec,
} from "./safetensors_header.ts";

/**
 * An open safetensors file whose entire header has been checked.
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
  /** The file's metadata: free-form strings. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The file's path. */
  readonly path: string;
  readonly #file: OpenFile;
  readonly #places: ReadonlyMap<string, TensorPlace>;
  readonly #dataStart: number;

  private constructor(
    path: string,
    file: OpenFile,
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
   * @throws {TypeError} The path is not a path.
   * @throws {CheckpointError} The file cannot be read, or its header is malformed.
   */
  static open(path: string): SafetensorsFile {
    requirePath("read tensors", "path", path);
    let file: OpenFile | undefined;
    try {
      file = new OpenFile("read", path);
      const { header, dataStart } = readHeader(file.handle);
      return new SafetensorsFile(path, file, header, dataStart);
    } catch (cause) {
      file?.[Symbol.dispose]();
      if (cause instanceof FileError) throw new CheckpointError(cause.message, { cause });
      const reason = systemReason(cause);
      throw new CheckpointError(`Cannot read ${path}: ${reason}`, { cause });
    }
  }

  /**
   * Reads a tensor. F16 and BF16 are widened to fp32, exactly, if `expected` asks for F32.
   *
   * @param name The tensor's name.
   * @param expected What the caller needs; another shape or dtype is an error.
   * @returns Its elements, little-endian and row-major.
   * @throws {CheckpointError} There is no such tensor, it differs from what is expected, its dtype
   * can only be listed, or the file ends early.
   */
  read(name: string, expected?: Omit<TensorSpec, "name">): Uint8Array<ArrayBuffer> {
    const place = this.#find(name, expected);
    const isWidened = expected !== undefined && expected.dtype !== place.dtype;
    const bytes = new Uint8Array(place.bytes);
    this.#readAt(place, 0, bytes);
    if (!isWidened) return bytes;
    const wide = new Uint8Array(2 * bytes.length);
    widen(bytes, place.dtype, wide);
    return wide;
  }

  /**
   * Reads a tensor piece by piece, so that it is never entirely in memory. F16 and BF16 are widened
   * to fp32, exactly, if `expected` asks for F32.
   *
   * @param name The tensor's name.
   * @param expected What the caller needs; another shape or dtype is an error.
   * @param buffer Holds each piece in turn, overwriting the last; a multiple of 8 bytes.
   * @returns The pieces in order.
   * @throws {CheckpointError} There is no such tensor, it differs from what is expected, its dtype
   * can only be listed, or the file ends early.
   * @throws {RangeError} The buffer is empty, or not a multiple of 8 bytes.
   */
  *pieces(
    name: string,
    expected: Omit<TensorSpec, "name">,
    buffer: Uint8Array<ArrayBuffer>,
  ): Generator<Uint8Array<ArrayBuffer>> {
    requireObject("read a tensor", "expected", expected);
    const place = this.#find(name, expected);
    checkBuffer(name, buffer);
    const narrow = expected.dtype === place.dtype ? null : new Uint8Array(buffer.length / 2);
    const target = narrow ?? buffer;
    for (let done = 0; done < place.bytes; done += target.length) {
      const piece = target.subarray(0, Math.min(target.length, place.bytes - done));
      this.#readAt(place, done, piece);
      if (narrow === null) {
        yield piece;
        continue;
      }
      const wide = buffer.subarray(0, 2 * piece.length);
      widen(piece, place.dtype, wide);
      yield wide;
    }
  }

  #readAt({ name, offset }: TensorPlace, from: number, target: Uint8Array): void {
    try {
      const { handle } = this.#file;
      handle.seekSync(this.#dataStart + offset + from, Deno.SeekMode.Start);
      readFull(handle, target);
    } catch (cause) {
      const reason = systemReason(cause);
      throw new CheckpointError(`Cannot read tensor ${name} of ${this.path}: ${reason}`, { cause });
    }
  }

  #find(name: string, expected?: Omit<TensorSpec, "name">): TensorPlace {
    const place = this.#places.get(name);
    if (place === undefined) {
      throw new CheckpointError(`Cannot read tensor ${name}: ${this.path} does not hold it`);
    }
    if (!READABLE.includes(place.dtype)) {
      throw new CheckpointError(
        `Cannot read tensor ${name}: ${this.path} holds it as ${place.dtype}, which is none of ` +
          `${READABLE.join(", ")}; convert it first`,
      );
    }
    if (expected !== undefined) this.#check(place, expected);
    return place;
  }

  #check(place: TensorPlace, expected: Omit<TensorSpec, "name">): void {
    requireObject(`read tensor ${place.name}`, "expected", expected);
    if (!isSizes(expected.shape)) {
      throw new TypeError(
        `Cannot read tensor ${place.name}: expected.shape is ${
          shown(expected.shape)
        }, expected sizes`,
      );
    }
    const [held, needed] = [place, expected].map(({ dtype, shape }) =>
      `${dtype} [${shape.join(", ")}]`
    );
    const isAlike = place.shape.join() === expected.shape.join() &&
      (place.dtype === expected.dtype || widens(place.dtype, expected.dtype));
    if (!isAlike) {
      throw new CheckpointError(
        `Cannot read tensor ${place.name}: ${this.path} holds ${held}, the model needs ${needed}`,
      );
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
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

function checkBuffer(name: string, buffer: Uint8Array): void {
  const isUsable = buffer instanceof Uint8Array && buffer.length > 0 && buffer.length % 8 === 0 &&
    buffer.byteOffset % 4 === 0;
  if (isUsable) return;
  throw new RangeError(
    `Cannot read tensor ${name} into a buffer of ${buffer?.length} bytes: it takes a multiple of 8`,
  );
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
