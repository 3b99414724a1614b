/** Keys and values of the tokens a model has seen, for generation. @module */

import { requireNumbers, requireOptions, requireSizes, requireWhole, shown } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { operands, overwritten, requireDevice } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
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

/** Those of a cache's sizes which are its model's. */
export type ModelSizes = Pick<KeyValueCacheOptions, "layers" | "groups" | "headDim">;

// A friend of KeyValueCache: a model asks whether a cache is one of its own.
let modelSizesOf: (cache: KeyValueCache) => ModelSizes;

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
  readonly #onDevice: DeviceTensor<"i32">;

  static {
    modelSizesOf = (cache) => ({
      layers: cache.#tokens.shape[0],
      groups: cache.#row / (2 * cache.#headDim),
      headDim: cache.#headDim,
    });
  }

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
    requireSizes("make a cache", { layers, groups, headDim, batch, capacity });
    const row = 2 * groups * headDim;
    requireSizes("make a cache", { "2 · groups · headDim": row });
    this.#batch = batch;
    this.#capacity = capacity;
    this.#headDim = headDim;
    this.#row = row;
    this.#memory = memoryOf(device);
    // One block for all layers: the device gives all of it or nothing.
    this.#tokens = this.#memory.allocateAtRoot("f32", [layers, batch, capacity, row]);
    try {
      this.#onDevice = this.#memory.allocateAtRoot("i32", [batch]);
    } catch (error) {
      this.#tokens[Symbol.dispose]();
      throw error;
    }
    fill(this.#onDevice, 0);
    this.#lengths = new Array(batch).fill(0);
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
    return [...this.#lengths];
  }

  /**
   * Sets the tokens of each sequence, once a layer's keys and values are there.
   *
   * @param lengths Tokens of each sequence, at most the capacity.
   * @throws {RangeError} If they are not as many as sequences, or one is out of range.
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
    if (!Array.isArray(lengths) || lengths.length !== this.#batch) {
      throw new RangeError(
        `Cannot set the lengths of ${this.#batch} sequences to ${shown(lengths)}: ` +
          `an array with one for each is needed`,
      );
    }
    for (const [b, length] of lengths.entries()) {
      requireWhole("set the tokens of a cache", `lengths[${b}]`, length, { most: this.#capacity });
    }
    this.#lengths = [...lengths];
    upload(this.#onDevice, Int32Array.from(lengths));
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
    requireDevice("cache", this.#memory, source);
    const target = this.#addressOf("fill a cache", layer);
    requireWhole("fill a cache", "sequence", sequence, { least: 1, most: this.#capacity });
    this.#requireShape("fill a cache", source, this.#batch * sequence, this.#row);
    const [, stride = 0] = source.shape;
    const row = this.#row;
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
    const cache = this.#addressOf(operation, layer);
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
        groups,
        headDim,
        stride,
        ropeBase,
      ),
      "cached attention",
    );
    // Recorded only to refuse: without a node the gradient would leave out the attention in silence.
    recordNode({
      operation: "cached attention",
      inputs: [source],
      outputs: [out],
      saved: [],
      backward() {
        throw new Error(
          "Cannot differentiate attention with a cache: run whole sequences without one instead, as " +
            "model.logits(tokens, sequence) does",
        );
      },
    });
    return out as unknown as Tensor<"f32", readonly [number, number]>;
  }

  /** Device address of a layer's keys and values. */
  #addressOf(operation: string, layer: number): bigint {
    const [layers, ...rest] = this.#tokens.shape;
    requireWhole(operation, "layer", layer, { most: layers - 1 });
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

/**
 * Refuses what is no cache, or one for a model of other sizes: it would keep other columns. A single
 * layer gives no number of layers.
 */
export function requireCacheFor(
  operation: string,
  model: Omit<ModelSizes, "layers"> & Partial<ModelSizes>,
  cache: unknown,
): void {
  if (!(cache instanceof KeyValueCache)) {
    throw new TypeError(
      `Cannot ${operation} with ${shown(cache)} as its cache: model.openCache() makes one`,
    );
  }
  const { layers, groups, headDim } = modelSizesOf(cache);
  const { layers: wanted = layers } = model;
  if (layers === wanted && groups === model.groups && headDim === model.headDim) return;
  throw new ConfigError(
    `Cannot ${operation} with a cache of ${layers} layers, ${groups} groups and heads of size ` +
      `${headDim}: the model has ${wanted}, ${model.groups} and ${model.headDim}; ` +
      `model.openCache() makes one that fits`,
  );
}
