/** Keys and values of the tokens a model has seen, for generation. @module */

import { LARGEST_SIZE, requireFinite, requireOptions, requireWhole, shown } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { operands, requireDevice } from "../tensor/operands.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { fill, upload } from "../tensor/transfer.ts";

/** Sizes of a {@linkcode KeyValueCache}. */
export interface KeyValueCacheOptions {
  /** Blocks of the model. */
  readonly layers: number;
  /** Groups of heads that share keys and values. */
  readonly groups: number;
  /** Size of a head. */
  readonly headDim: number;
  /** Sequences. */
  readonly batch: number;
  /** Tokens of a sequence there is room for. */
  readonly capacity: number;
}

/**
 * The turned keys and the values of the tokens before, so that a new token costs one row of the
 * model and not all of its sequence again. Sequences may have different lengths.
 *
 * It takes `8 · layers · batch · capacity · groups · headDim` bytes of device memory.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, FeedForward, KeyValueCache, LanguageModel, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using model = new LanguageModel(device, {
 *   vocabulary: 10,
 *   layers: 2,
 *   hidden: 16,
 *   heads: 2,
 *   feedForward: () => new FeedForward(device, { hidden: 16 }),
 * });
 * using cache = new KeyValueCache(device, {
 *   layers: 2,
 *   groups: 2,
 *   headDim: 8,
 *   batch: 2,
 *   capacity: 5,
 * });
 * using _scope = device.noGradient();
 * await read(model.prefill([[1, 2, 3], [4]], cache));
 * const logits = model.decode([5, 6], cache);
 * assert(logits.shape.join() === "2,10" && cache.lengths.join() === "4,2");
 * ```
 */
export class KeyValueCache implements Disposable {
  /** Sequences. */
  readonly batch: number;
  /** Tokens of a sequence there is room for. */
  readonly capacity: number;
  readonly #memory: DeviceMemory;
  readonly #groups: number;
  /** Keys and values of every layer, `[layers, batch, capacity, 2 · groups · headDim]`. */
  readonly #tokens: DeviceTensor<"f32", readonly [number, number, number, number]>;
  readonly #onDevice: DeviceTensor<"i32">;
  #lengths: number[];

  /**
   * Makes an empty cache.
   *
   * @param device Where it lives.
   * @param options Sizes.
   * @throws {ConfigError} If a size is no whole number of at least 1.
   */
  constructor(device: Device, options: KeyValueCacheOptions) {
    requireOptions("make a cache", options);
    const { layers, groups, headDim, batch, capacity } = options;
    for (const [name, size] of Object.entries({ layers, groups, headDim, batch, capacity })) {
      if (!Number.isInteger(size) || size < 1 || size > LARGEST_SIZE) {
        throw new ConfigError(
          `Cannot make a cache with ${name} ${shown(size)}: it must be a whole number from 1 to ` +
            `${LARGEST_SIZE}`,
        );
      }
    }
    this.batch = batch;
    this.capacity = capacity;
    this.#memory = memoryOf(device);
    // One block for all layers: the device gives all of it or nothing.
    this.#tokens = this.#memory.allocateAtRoot("f32", [
      layers,
      batch,
      capacity,
      2 * groups * headDim,
    ]);
    this.#groups = groups;
    try {
      this.#onDevice = this.#memory.allocateAtRoot("i32", [batch]);
    } catch (error) {
      this.#tokens[Symbol.dispose]();
      throw error;
    }
    fill(this.#onDevice, 0);
    this.#lengths = new Array(batch).fill(0);
  }

  /** Tokens of each sequence. */
  get lengths(): readonly number[] {
    return [...this.#lengths];
  }

  /**
   * Sets the tokens of each sequence, once a layer's keys and values are there.
   *
   * @param lengths Tokens of each sequence, at most the capacity.
   * @throws {RangeError} If there is not one for each sequence, or one is out of range.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const sizes = { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 8 };
   * using cache = new KeyValueCache(device, sizes);
   * cache.setLengths([3, 5]);
   * assert(cache.lengths.join() === "3,5");
   * ```
   */
  setLengths(lengths: readonly number[]): void {
    const operation = `set the lengths of a cache for ${this.batch} sequences`;
    if (!Array.isArray(lengths) || lengths.length !== this.batch) {
      throw new RangeError(`Cannot ${operation}: lengths is ${shown(lengths)}, give one each`);
    }
    const list = Array.from(lengths);
    for (const [i, length] of list.entries()) {
      requireWhole(operation, `lengths[${i}]`, length, { most: this.capacity });
    }
    upload(this.#onDevice, Int32Array.from(list));
    this.#lengths = list;
  }

  /** Device address of a layer's keys and values. */
  #addressOf(operation: string, layer: number): bigint {
    const [layers, ...rest] = this.#tokens.shape;
    requireWhole(operation, "layer", layer, { most: layers - 1 });
    return this.#tokens.address + BigInt(layer) * 4n * BigInt(elementCount(rest));
  }

  /** Room for one token more in each sequence, or an error. */
  requireRoom(): void {
    const full = this.#lengths.findIndex((length) => length >= this.capacity);
    if (full < 0) return;
    throw new RangeError(
      `Cannot add a token to sequence ${full}: the cache has room for ${this.capacity} tokens`,
    );
  }

  /**
   * Keeps keys and values of whole sequences from the rotated projection `[batch · S, columns]`.
   *
   * @param layer Which layer.
   * @param qkv `[batch · sequence, columns]`; keys and values are its last `2 · groups · headDim` columns.
   * @param sequence Tokens of one sequence, S, at most the capacity.
   * @throws {ShapeMismatchError} If the rows or columns do not fit the cache.
   * @throws {RangeError} If the cache has no such layer, or no room.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * using cache = new KeyValueCache(device, { layers: 1, groups: 1, headDim: 4, batch: 1, capacity: 8 });
   * cache.fill(0, device.normal([3, 12]), 3); // three tokens: query, key and value of 4 each
   * cache.setLengths([3]);
   * const attended = cache.attend(0, device.normal([1, 12]), 1, 1e4);
   * assert((await read(attended)).length === 4);
   * ```
   */
  fill(layer: number, qkv: Tensor<"f32">, sequence: number): void {
    const operation = "fill a cache";
    const [source] = operands("fill a cache with", qkv);
    requireDevice("cache", this.#memory, source);
    const target = this.#addressOf(operation, layer);
    requireWhole(operation, "sequence", sequence, { least: 1, most: this.capacity });
    const row = this.#tokens.shape[3];
    const [rows, stride = 0] = source.shape;
    if (source.shape.length !== 2 || rows !== this.batch * sequence || stride < row) {
      throw new ShapeMismatchError(
        `Cannot fill a cache with ${
          showShape(source.shape)
        }: it needs ${this.batch} sequences of ` +
          `${sequence} rows with at least ${row} columns`,
      );
    }
    const { kernels: k } = this.#memory;
    const layout = Int32Array.of(2, sequence, row, stride, 1);
    for (let b = 0; b < this.batch; b++) {
      const to = target + BigInt(4 * b * this.capacity * row);
      const from = source.address + BigInt(4 * (b * sequence * stride + stride - row));
      k.check(k.symbols.remoe_copy_strided(k.handle, 0, to, from, layout), "fill cache");
    }
  }

  /**
   * Attends with one new token a sequence, and keeps its key and value.
   *
   * @param layer Which layer.
   * @param qkv The projection `[batch, columns]`; it is overwritten.
   * @param heads Query heads.
   * @param ropeBase Base of the rotary angles.
   * @returns `[batch, heads · headDim]`.
   * @throws {ShapeMismatchError} If the rows or columns do not fit the cache and the heads.
   * @throws {RangeError} If the cache has no such layer, or no room.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using cache = new KeyValueCache(device, { layers: 1, groups: 1, headDim: 2, batch: 1, capacity: 4 });
   * // The first token sees itself alone: the result is its value.
   * const y = cache.attend(0, device.from([1, 2, 3, 4, 5, 6], [1, 6]), 1, 1e4);
   * assert((await read(y)).join() === "5,6");
   * ```
   */
  attend(
    layer: number,
    qkv: Tensor<"f32", readonly [number, number]>,
    heads: number,
    ropeBase: number,
  ): Tensor<"f32", readonly [number, number]> {
    const [source] = operands("attend with a cache and", qkv);
    requireDevice("attend with a cache and", this.#memory, source);
    const operation = "attend with a cache";
    const cache = this.#addressOf(operation, layer);
    requireWhole(operation, "heads", heads, { least: 1, most: LARGEST_SIZE });
    requireFinite(operation, "ropeBase", ropeBase);
    const row = this.#tokens.shape[3];
    const headDim = row / (2 * this.#groups);
    const [rows, stride = 0] = source.shape;
    const fits = source.shape.length === 2 && rows === this.batch &&
      stride === heads * headDim + row;
    if (!fits || heads % this.#groups !== 0 || ropeBase <= 0) {
      throw new ShapeMismatchError(
        `Cannot attend with a cache and ${showShape(source.shape)}, ${heads} heads and base ` +
          `${ropeBase}: it needs ${this.batch} rows of ${
            heads * headDim + row
          } columns, heads in ` +
          `${this.#groups} equal groups and a base above 0`,
      );
    }
    this.requireRoom();
    const out = source.memory.allocate("f32", [this.batch, heads * headDim] as const);
    const { kernels: k } = this.#memory;
    k.check(
      k.symbols.remoe_attention_decode(
        k.handle,
        out.address,
        source.address,
        cache,
        this.#onDevice.address,
        this.batch,
        this.capacity,
        heads,
        this.#groups,
        headDim,
        stride,
        ropeBase,
      ),
      "cached attention",
    );
    return out as unknown as Tensor<"f32", readonly [number, number]>;
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.#tokens[Symbol.dispose]();
    this.#onDevice[Symbol.dispose]();
  }
}

/** A layer's part of a cache, and whether the tokens at hand are the first. */
export interface LayerCache {
  /** The cache. */
  readonly cache: KeyValueCache;
  /** Which layer. */
  readonly layer: number;
  /** Whole sequences from their start, else one token each. */
  readonly isPrefill: boolean;
}
