/**
 * Writes safetensors files, tensor by tensor.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { requireFunction, requireObject, requirePath, requireText, shown } from "../arguments.ts";
import { CheckpointError } from "../errors.ts";
import { type FileDigest, onPath, removeIfThere, writeAllSync } from "../files.ts";
import {
  encodeHeader,
  placeTensors,
  type TensorPlace,
  type TensorSpec,
} from "./safetensors_header.ts";

/**
 * A tensor to write.
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
 *   *read() { // row by row, so it is never entirely in memory
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
   * Reads the tensor's elements, little-endian and row-major, at once or in pieces. Called once,
   * when the tensor is written.
   *
   * @returns Its bytes, as many as its shape and dtype take.
   */
  read(): Uint8Array | Iterable<Uint8Array>;
}

/**
 * Writes a safetensors file and waits until it is on disk.
 *
 * @param path The file; it must not exist.
 * @param entries The tensors in the order of their data.
 * @param metadata Free-form strings about the file.
 * @returns Its size and SHA-256, computed while writing. After an error no file is left behind.
 * @throws {TypeError} An argument has the wrong type.
 * @throws {CheckpointError} Two tensors share a name, or a tensor's bytes do not fit its shape.
 * @throws {FileError} The file cannot be written, for lack of space or permission.
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
  requirePath("write tensors", "path", path);
  const list = checkedEntries(path, entries);
  requireObject(`write ${path}`, "metadata", metadata);
  for (const [name, text] of Object.entries(metadata)) {
    requireText(`write ${path}`, `metadata.${name}`, text);
  }
  const tensors = placeTensors(list);
  const header = encodeHeader({ tensors, metadata });
  return onPath("write", path, () => writeTensors(path, header, tensors, list));
}

function checkedEntries(path: string, entries: Iterable<TensorEntry>): TensorEntry[] {
  if (typeof entries !== "object" || typeof entries?.[Symbol.iterator] !== "function") {
    throw new TypeError(`Cannot write ${path}: entries is ${shown(entries)}, expected a list`);
  }
  return Array.from(entries, (entry, i) => {
    requireObject(`write ${path}`, `entries[${i}]`, entry);
    requireText(`write ${path}`, `entries[${i}].name`, entry.name);
    requireFunction(`write ${path}`, `entries[${i}].read`, entry.read);
    return entry;
  });
}

function writeTensors(
  path: string,
  header: Uint8Array,
  tensors: readonly TensorPlace[],
  entries: readonly TensorEntry[],
): FileDigest {
  const opened = Deno.openSync(path, { write: true, createNew: true });
  try {
    using file = opened;
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
  } catch (error) {
    removeIfThere(path);
    throw error;
  }
}

function appendTensor(
  path: string,
  { name, shape, dtype, bytes }: TensorPlace,
  data: Uint8Array | Iterable<Uint8Array>,
  append: (chunk: Uint8Array) => void,
): void {
  let written = 0;
  for (const chunk of data instanceof Uint8Array ? [data] : data) {
    if (!(chunk instanceof Uint8Array)) {
      throw new CheckpointError(`Cannot write ${path}: tensor ${name} gave no Uint8Array`);
    }
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
