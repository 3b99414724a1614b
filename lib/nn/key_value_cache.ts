/** Keys and values of the tokens a model has seen, for generation. @module */

import { requireOptions, requireWhole } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ShapeMismatchError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself } from "../tensor/display.ts";
import { operands, overwritten, requireDevice } from "../tensor/operands.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { cachedAttention } from "./cached_attention.ts";
import { CacheLengths } from "./cache_lengths.ts";

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

/** Those of a cache's sizes which are its model's. */
export type ModelSizes = Pick<KeyValueCacheOptions, "layers" | "groups" | "headDim">;

// A friend of KeyValueCache: a model asks whether a cache is one of its own.
let sizesOf: (cache: KeyValueCache) => ModelSizes;

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
  readonly #batch: number;
  readonly #capacity: number;
  readonly #headDim: number;
  /** Columns of a token's keys and values: `2 · groups · headDim`. */
  readonly #row: number;
  readonly #memory: DeviceMemory;
  /** Keys and values of every layer, `[layers, batch, capacity, row]`. */
  readonly #tokens: DeviceTensor<"f32", readonly [number, number, number, number]>;
  readonly #lengths: CacheLengths;

  static {
    sizesOf = (cache) => ({
      layers: cache.#tokens.shape[0],
      groups: cache.#row / (2 * cache.#headDim),
      headDim: cache.#headDim,
    });
    showsItself(KeyValueCache, (cache) => {
      const { batch, capacity, lengths } = cache;
      const facts = { ...sizesOf(cache), batch, capacity, lengths };
      return { kind: "KeyValueCache", facts, place: cache.#tokens.place };
    });
  }

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
    requireSizes("make a cache", { layers, groups, headDim, batch, capacity });
    const row = 2 * groups * headDim;
    requireSizes("make a cache", { "2 · groups · headDim": row });
    this.#batch = batch;
    this.#capacity = capacity;
    this.#headDim = headDim;
    this.#row = row;
    this.#memory = memoryOf(device);
    // One block for all layers: the device gives all of it or nothing.
    this.#tokens = this.#memory.allocateAtRoot("f32", [layers, batch, capacity, row], "the cache");
    try {
      this.#lengths = new CacheLengths(this.#memory, layers, batch, capacity);
    } catch (error) {
      this.#tokens[Symbol.dispose]();
      throw error;
    }
  }

  /** Sequences. */
  get batch(): number {
    return this.#batch;
  }

  /** Tokens of a sequence there is room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Tokens of each sequence. */
  get lengths(): readonly number[] {
    return [...this.#lengths.values];
  }

  /**
   * Sets the tokens of each sequence, once every layer's keys and values are there. Tokens that are
   * cut off are gone.
   *
   * @param lengths Tokens of each sequence, at most as many as every layer holds.
   * @throws {RangeError} If they are not as many as sequences, or one is more than a layer holds.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const sizes = { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 8 };
   * using cache = new KeyValueCache(device, sizes);
   * cache.fill(0, device.normal([10, 12]), 5); // five tokens of each sequence
   * cache.setLengths([3, 5]); // of which the first one has three
   * assert(cache.lengths.join() === "3,5");
   * ```
   */
  setLengths(lengths: readonly number[]): void {
    this.#lengths.set(lengths);
  }

  /** Room for one token more in each sequence, or an error. */
  requireRoom(): void {
    this.#lengths.requireRoom();
  }

  /**
   * Keeps keys and values of whole sequences from the rotated projection `[batch · S, columns]`, where
   * {@linkcode KeyValueCache.attend} sees them after {@linkcode KeyValueCache.setLengths}. A layer
   * that holds tokens begins anew: the whole cache is emptied first.
   *
   * @param layer Which layer.
   * @param qkv `[batch · sequence, columns]`; keys and values are its last `2 · groups · headDim` columns.
   * @param sequence Tokens of one sequence, S, at most the capacity.
   * @throws {RangeError} If there is no such layer, or no room for the sequence.
   * @throws {ShapeMismatchError} If the projection is not of this size.
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
    const [source] = operands("fill a cache with", qkv);
    requireDevice("fill a cache with", this.#memory, source);
    const target = this.#addressOf("fill a cache", layer);
    requireWhole("fill a cache", "sequence", sequence, { least: 1, most: this.#capacity });
    this.#requireShape("fill a cache", source, this.#batch * sequence, this.#row);
    const [, stride = 0] = source.shape;
    const row = this.#row;
    const { kernels: k } = this.#memory;
    this.#lengths.begin(layer);
    const layout = Int32Array.of(2, sequence, row, stride, 1);
    for (let b = 0; b < this.#batch; b++) {
      const to = target + BigInt(4 * b * this.#capacity * row);
      const from = source.address + BigInt(4 * (b * sequence * stride + stride - row));
      k.check(k.symbols.remoe_copy_strided(k.handle, 0, to, from, layout), "fill cache");
    }
    this.#lengths.holdsBeyond(layer, sequence);
  }

  /**
   * Attends with one new token per sequence, and keeps its key and value behind those that the
   * lengths count.
   *
   * @param layer Which layer.
   * @param qkv The projection `[batch, columns]`; it is overwritten.
   * @param heads Query heads.
   * @param ropeBase Base of the rotary angles.
   * @throws {RangeError} If there is no such layer, or no room for a token more.
   * @throws {ShapeMismatchError} If the projection is not of this size.
   * @returns `[batch, heads · headDim]`.
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
    const operation = "attend with a cache";
    const [source] = operands("attend with a cache and", qkv);
    requireDevice("attend with a cache and", this.#memory, source);
    const tokens = this.#addressOf(operation, layer);
    const headDim = this.#headDim;
    const groups = this.#row / (2 * headDim);
    requireWhole(operation, "heads", heads, { least: 1 });
    requireNumbers(operation, { ropeBase }, { above: 0 });
    if (heads % groups !== 0) {
      throw new RangeError(
        `Cannot ${operation} of ${groups} groups: heads is ${heads}, expected a multiple of groups`,
      );
    }
    const stride = heads * headDim + this.#row;
    this.#requireShape(operation, source, this.#batch, stride, stride);
    this.requireRoom();
    overwritten(operation, source);
    const [batch, capacity] = [this.#batch, this.#capacity];
    const held = { tokens, lengths: this.#lengths.address, batch, capacity, groups, headDim };
    const out = cachedAttention(source, held, heads, ropeBase);
    this.#lengths.holdsBeyond(layer, 1);
    return out;
  }

  /** Device address of a layer's keys and values. */
  #addressOf(operation: string, layer: number): bigint {
    const [layers, ...rest] = this.#tokens.shape;
    requireWhole(operation, "layer", layer, { most: layers - 1 });
    this.#tokens.requireAlive(operation.replace(/ a cache$/, ""));
    return this.#tokens.address + BigInt(layer) * 4n * BigInt(elementCount(rest));
  }

  /** `[rows, columns]` from `least` columns on. */
  #requireShape(
    operation: string,
    { shape }: DeviceTensor,
    rows: number,
    least: number,
    most = Infinity,
  ): void {
    const [height, columns = 0] = shape;
    if (shape.length === 2 && height === rows && columns >= least && columns <= most) return;
    throw new ShapeMismatchError(
      `Cannot ${operation} of ${this.#batch} sequences and a projection of shape ` +
        `${showShape(shape)}: it needs [${rows}, ${least}${most === least ? "" : " or more"}]`,
    );
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.#tokens[Symbol.dispose]();
    this.#lengths[Symbol.dispose]();
  }
}

/** What a cache's model has of its sizes. */
export function modelSizesOf(cache: KeyValueCache): ModelSizes {
  return sizesOf(cache);
}
