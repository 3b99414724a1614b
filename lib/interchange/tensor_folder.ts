/** The weights of a Hugging Face folder, in one file or several. @module */

import { SafetensorsFile } from "../checkpoint/safetensors.ts";
import type { TensorSpec } from "../checkpoint/safetensors_header.ts";
import { ConfigError } from "../errors.ts";
import { exists } from "../files.ts";
import { readJsonObject } from "./json_file.ts";

/** The file of unsharded weights. */
export const WEIGHTS = "model.safetensors";
/** The file that says which shard holds which tensor. */
export const INDEX = "model.safetensors.index.json";

/** The open files of a model's weights, whose headers have been checked. */
export class TensorFolder implements Disposable {
  /** The folder. */
  readonly path: string;
  readonly #files: ReadonlyMap<string, SafetensorsFile>;
  readonly #owned: DisposableStack;

  private constructor(
    path: string,
    files: ReadonlyMap<string, SafetensorsFile>,
    owned: DisposableStack,
  ) {
    this.path = path;
    this.#files = files;
    this.#owned = owned;
  }

  /**
   * Opens a folder's weights.
   *
   * @param path The folder.
   * @returns The open files; dispose of them.
   * @throws {ConfigError} There are none, or the index is malformed or disagrees with the shards.
   * @throws {CheckpointError} A file cannot be read, or its header is malformed.
   */
  static open(path: string): TensorFolder {
    using stack = new DisposableStack();
    const files = exists(`${path}/${WEIGHTS}`)
      ? openSingle(`${path}/${WEIGHTS}`, stack)
      : exists(`${path}/${INDEX}`)
      ? openShards(path, stack)
      : refuse(path, `it holds neither ${WEIGHTS} nor ${INDEX}; other formats are not read`);
    return new TensorFolder(path, files, stack.move());
  }

  /** The names of all tensors. */
  get names(): Iterable<string> {
    return this.#files.keys();
  }

  /**
   * Looks a tensor up.
   *
   * @param name Its name.
   * @returns Its type and shape; undefined if there is none.
   */
  spec(name: string): TensorSpec | undefined {
    return this.#files.get(name)?.tensors.get(name);
  }

  /**
   * Reads a tensor as fp32, piece by piece.
   *
   * @param name Its name.
   * @param shape Its shape.
   * @param buffer Holds each piece in turn.
   * @returns The pieces in order.
   * @throws {CheckpointError} It is of another shape, of a type that does not widen to fp32, or
   * holds a value that is not finite.
   */
  *pieces(
    name: string,
    shape: readonly number[],
    buffer: Uint8Array<ArrayBuffer>,
  ): Generator<Uint8Array<ArrayBuffer>> {
    const file = this.#files.get(name) ?? refuse(this.path, `it does not hold ${name}`);
    for (const piece of file.pieces(name, { dtype: "F32", shape }, buffer)) {
      const values = new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4);
      const bad = values.find((value) => !Number.isFinite(value));
      if (bad !== undefined) refuse(file.path, `${name} is not finite, it holds ${bad}`);
      yield piece;
    }
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

function openSingle(path: string, stack: DisposableStack): Map<string, SafetensorsFile> {
  const file = stack.use(SafetensorsFile.open(path));
  return new Map([...file.tensors.keys()].map((name) => [name, file]));
}

function openShards(path: string, stack: DisposableStack): Map<string, SafetensorsFile> {
  const index = `${path}/${INDEX}`;
  const places = readIndex(index);
  const shards = new Map<string, SafetensorsFile>();
  for (const name of new Set(places.values())) {
    shards.set(name, stack.use(SafetensorsFile.open(`${path}/${name}`)));
  }
  const files = new Map<string, SafetensorsFile>();
  for (const [tensor, name] of places) {
    const shard = shards.get(name)!;
    if (!shard.tensors.has(tensor)) refuse(index, `it places ${tensor} in ${name}, which lacks it`);
    files.set(tensor, shard);
  }
  for (const [name, { tensors }] of shards) {
    const extra = [...tensors.keys()].find((tensor) => places.get(tensor) !== name);
    if (extra !== undefined) refuse(index, `${name} holds ${extra}, which it does not place there`);
  }
  return files;
}

/** Reads which shard holds which tensor. */
function readIndex(path: string): Map<string, string> {
  const map = readJsonObject(path)["weight_map"];
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    return refuse(path, "its weight_map is not a map from tensors to files");
  }
  const places = Object.entries(map as Record<string, unknown>);
  if (places.length === 0) refuse(path, "its weight_map is empty");
  for (const [tensor, name] of places) {
    // A name with a path could point anywhere on the disk.
    const isName = typeof name === "string" && /^[^/\\\0]+\.safetensors$/.test(name);
    if (!isName) {
      refuse(
        path,
        `it places ${tensor} in ${
          JSON.stringify(name)
        }, expected the name of a .safetensors file ` +
          `beside it`,
      );
    }
  }
  return new Map(places as [string, string][]);
}

function refuse(path: string, reason: string): never {
  throw new ConfigError(`Cannot import ${path}: ${reason}`);
}
