/** What routers keep of the prompts, layer by layer. @module */

import { embedding } from "../autograd/embedding.ts";
import { reshape } from "../autograd/layout.ts";
import { writtenTensor } from "../autograd/made_tensors.ts";
import { ShapeMismatchError } from "../errors.ts";
import type { RouterMemory } from "../moe/routing_context.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { operands, requireDevice } from "../tensor/operands.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";

/**
 * The tensors that routers keep while a cache's sequences grow, at most one per layer, with one row
 * per row of the cache.
 */
export class RouterStates implements Disposable {
  readonly #memory: DeviceMemory;
  readonly #batch: number;
  readonly #kept = new Map<number, DeviceTensor<"f32">>();

  /** Starts with none. */
  constructor(memory: DeviceMemory, batch: number) {
    this.#memory = memory;
    this.#batch = batch;
  }

  /** The place of one layer for some rows. */
  of(layer: number, rows: readonly number[]): RouterMemory {
    return {
      read: () => this.#read(layer, rows),
      keep: (state) => this.#keep(layer, rows, state),
    };
  }

  #read(layer: number, rows: readonly number[]): Tensor<"f32"> | null {
    const kept = this.#kept.get(layer);
    if (kept === undefined) return null;
    const [, ...shape] = kept.shape;
    const places = writtenTensor(this.#memory, "i32", Int32Array.from(rows), [rows.length]);
    const table = reshape(kept, [this.#batch, elementCount(shape)] as const);
    return reshape(embedding(table, places), [rows.length, ...shape]);
  }

  #keep(layer: number, rows: readonly number[], state: Tensor<"f32">): void {
    const [source] = operands("keep a router's state in a cache:", state);
    requireDevice("keep a router's state in a cache:", this.#memory, source);
    const [count, ...shape] = source.shape;
    if (count !== rows.length) {
      throw new ShapeMismatchError(
        `Cannot keep a router's state of shape ${showShape(source.shape)} in a cache: it needs a ` +
          `row for each of the ${rows.length} sequences at hand`,
      );
    }
    const size = elementCount(shape);
    const target = this.#placeOf(layer, [this.#batch, ...shape]);
    for (const [i, row] of rows.entries()) {
      this.#copy(target.address, row, source.address, i, size);
    }
  }

  /** The tensor of a layer; made, or made anew if it has another shape. */
  #placeOf(layer: number, shape: readonly number[]): DeviceTensor<"f32"> {
    const kept = this.#kept.get(layer);
    if (kept !== undefined && kept.shape.join() === shape.join()) return kept;
    const made = this.#memory.allocateAtRoot("f32", shape, "the cache");
    fill(made, 0);
    kept?.[Symbol.dispose]();
    this.#kept.set(layer, made);
    return made;
  }

  /** Copies what was kept of rows to other rows. */
  copyRows(from: readonly number[], to: readonly number[]): void {
    for (const { address, shape: [, ...shape] } of this.#kept.values()) {
      for (const [i, row] of to.entries()) {
        this.#copy(address, row, address, from[i]!, elementCount(shape));
      }
    }
  }

  /** Copies row `from` of one table to row `to` of another, of `size` numbers each. */
  #copy(target: bigint, to: number, source: bigint, from: number, size: number): void {
    const { kernels: k } = this.#memory;
    const bytes = BigInt(4 * size);
    const status = k.symbols.remoe_copy(
      k.handle,
      target + bytes * BigInt(to),
      source + bytes * BigInt(from),
      bytes,
    );
    k.check(status, "copy a router's state");
  }

  /** Forgets all, as the sequences they belong to are gone. */
  clear(): void {
    for (const state of this.#kept.values()) state[Symbol.dispose]();
    this.#kept.clear();
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.clear();
  }
}
