/** Keys and values of the tokens that a model has seen, for generation. @module */

import { requireOptions, requireWhole } from "../arguments.ts";
import { computeType } from "../autograd/compute_type.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ShapeMismatchError } from "../errors.ts";
import type { RouterMemory } from "../moe/routing_context.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself } from "../tensor/display.ts";
import { DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { overwritten, realOperand, requireDevice } from "../tensor/operands.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { cachedAttention } from "./cached_attention.ts";
import { CacheLengths } from "./cache_lengths.ts";
import { RouterStates } from "./router_states.ts";

/** Sizes of a {@linkcode KeyValueCache}. */
export interface KeyValueCacheOptions<R extends Real = "f32"> {
  /** Number of the model's blocks. */
  readonly layers: number;
  /** Number of key/value head groups. */
  readonly groups: number;
  /** Size of a head. */
  readonly headDim: number;
  /** Number of sequences. */
  readonly batch: number;
  /** Maximum tokens per sequence. */
  readonly capacity: number;
  /** The type that the model computes in. Default `f32`. */
  readonly dtype?: R;
}

/** The sizes of a cache, and the type, that depend on the model. */
export type ModelSizes<R extends Real = Real> =
  & Pick<KeyValueCacheOptions, "layers" | "groups" | "headDim">
  & { readonly dtype: R };

// Assigned in KeyValueCache, whose private fields it reads: models check that a cache fits.
let sizesOf: (cache: KeyValueCache<Real>) => ModelSizes;
let memoryOfRouter: (cache: KeyValueCache<Real>, layer: number) => RouterMemory;

/**
 * The rotated keys and the values of earlier tokens, so that a new token does not cost another pass
 * over its whole sequence. Sequences may have different lengths.
 *
 * The cache takes `8 · layers · batch · capacity · groups · headDim` bytes of device memory, half of
 * that in bf16.
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
export class KeyValueCache<R extends Real = "f32"> implements Disposable {
  readonly #headDim: number;
  readonly #memory: DeviceMemory;
  /** Keys and values of every layer, `[layers, batch, capacity, 2 · groups · headDim]`. */
  readonly #tokens: DeviceTensor<R, readonly [number, number, number, number]>;
  readonly #lengths: CacheLengths;
  readonly #routers: RouterStates;

  static {
    sizesOf = (cache) => {
      const [layers, , , row] = cache.#tokens.shape;
      const headDim = cache.#headDim;
      return { layers, groups: row / (2 * headDim), headDim, dtype: cache.#tokens.dtype };
    };
    memoryOfRouter = (cache, layer) => cache.#routers.of(layer);
    showsItself(KeyValueCache, (cache) => {
      const { batch, capacity, lengths } = cache;
      const facts = { ...sizesOf(cache), batch, capacity, lengths };
      return { kind: "KeyValueCache", facts, place: cache.#tokens.place };
    });
  }

  /**
   * Creates an empty cache.
   *
   * @param device The cache's device.
   * @param options Sizes.
   * @throws {ConfigError} If a size is not a whole number of at least 1.
   */
  constructor(device: Device, options: KeyValueCacheOptions<R>) {
    requireOptions("make a cache", options);
    const { layers, groups, headDim, batch, capacity } = options;
    requireSizes("make a cache", { layers, groups, headDim, batch, capacity });
    const row = 2 * groups * headDim;
    requireSizes("make a cache", { "2 · groups · headDim": row });
    this.#headDim = headDim;
    this.#memory = memoryOf(device);
    this.#routers = new RouterStates(this.#memory);
    // One allocation for all layers, which succeeds or fails as a whole.
    const dtype = computeType("make a cache", options.dtype);
    const shape = [layers, batch, capacity, row] as const;
    this.#tokens = this.#memory.allocateAtRoot(dtype, shape, "the cache");
    try {
      this.#lengths = new CacheLengths(this.#memory, layers, batch, capacity);
    } catch (error) {
      this.#tokens[Symbol.dispose]();
      throw error;
    }
  }

  /** Number of sequences. */
  get batch(): number {
    return this.#tokens.shape[1];
  }

  /** Maximum tokens per sequence. */
  get capacity(): number {
    return this.#tokens.shape[2];
  }

  /** Tokens of each sequence. */
  get lengths(): readonly number[] {
    return [...this.#lengths.values];
  }

  /**
   * Sets the length of each sequence, after every layer's keys and values have been written. Tokens
   * beyond the new lengths are lost.
   *
   * @param lengths Tokens of each sequence, at most as many as every layer holds.
   * @throws {RangeError} If there is not one length per sequence, or one exceeds what layers hold.
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
   * cache.setLengths([3, 5]); // keep three of the first
   * assert(cache.lengths.join() === "3,5");
   * ```
   */
  setLengths(lengths: readonly number[]): void {
    this.#lengths.set(lengths);
    if (this.#lengths.values.every((length) => length === 0)) this.#routers.clear();
  }

  /**
   * Throws unless every sequence has room for one more token.
   *
   * @throws {RangeError} If a sequence is full.
   */
  requireRoom(): void {
    this.#lengths.requireRoom();
  }

  /**
   * Stores keys and values of whole sequences from the rotated projection `[batch · S, columns]`.
   * {@linkcode KeyValueCache.attend} sees them after {@linkcode KeyValueCache.setLengths}. If the
   * layer already holds tokens, the whole cache is emptied first.
   *
   * @param layer Index of the layer.
   * @param qkv `[batch · sequence, columns]`; the last `2 · groups · headDim` columns are keys and
   * values.
   * @param sequence Tokens per sequence, S, at most the capacity.
   * @throws {RangeError} If there is no such layer, or no room for the sequence.
   * @throws {ShapeMismatchError} If the projection has another shape.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * using cache = new KeyValueCache(device, { layers: 1, groups: 1, headDim: 4, batch: 1, capacity: 8 });
   * cache.fill(0, device.normal([3, 12]), 3); // three tokens; query, key and value of 4 each
   * cache.setLengths([3]);
   * const attended = cache.attend(0, device.normal([1, 12]), 1, 1e4);
   * assert((await read(attended)).length === 4);
   * ```
   */
  fill(layer: number, qkv: Tensor<R>, sequence: number): void {
    const source = realOperand("fill a cache with", qkv);
    this.#requireType("fill a cache", source);
    requireDevice("fill a cache with", this.#memory, source);
    const target = this.#addressOf("fill a cache", layer);
    const [, batch, capacity, row] = this.#tokens.shape;
    requireWhole("fill a cache", "sequence", sequence, { least: 1, most: capacity });
    this.#requireShape("fill a cache", source, batch * sequence, row);
    const [, stride = 0] = source.shape;
    const { kernels: k } = this.#memory;
    if (this.#lengths.begin(layer)) this.#routers.clear();
    const layout = Int32Array.of(2, sequence, row, stride, 1);
    const { dtype } = source;
    const bytesOf = (elements: number): bigint => BigInt(DTYPE_BYTES[dtype] * elements);
    for (let b = 0; b < batch; b++) {
      const to = target + bytesOf(b * capacity * row);
      const from = source.address + bytesOf(b * sequence * stride + stride - row);
      const code = DTYPE_CODE[dtype];
      k.check(k.symbols.remoe_copy_strided(k.handle, code, to, from, layout), "fill cache");
    }
    this.#lengths.holdsBeyond(layer, sequence);
  }

  /**
   * Attends with one new token per sequence, and stores its key and value after the tokens counted
   * by the lengths.
   *
   * @param layer Index of the layer.
   * @param qkv The projection `[batch, columns]`; it is overwritten.
   * @param heads Number of query heads.
   * @param ropeBase Base of the rotary frequencies.
   * @returns `[batch, heads · headDim]`.
   * @throws {RangeError} If there is no such layer, or no room for another token.
   * @throws {ShapeMismatchError} If the projection has another shape.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using cache = new KeyValueCache(device, { layers: 1, groups: 1, headDim: 2, batch: 1, capacity: 4 });
   * // The first token sees only itself, so the result is its value.
   * const y = cache.attend(0, device.from([1, 2, 3, 4, 5, 6], [1, 6]), 1, 1e4);
   * assert((await read(y)).join() === "5,6");
   * ```
   */
  attend(
    layer: number,
    qkv: Tensor<R, readonly [number, number]>,
    heads: number,
    ropeBase: number,
  ): Tensor<R, readonly [number, number]> {
    const operation = "attend with a cache";
    const source = realOperand("attend with a cache and", qkv);
    this.#requireType(operation, source);
    requireDevice("attend with a cache and", this.#memory, source);
    const tokens = this.#addressOf(operation, layer);
    const { groups, headDim } = sizesOf(this);
    const [, batch, capacity, row] = this.#tokens.shape;
    requireWhole(operation, "heads", heads, { least: 1 });
    requireNumbers(operation, { ropeBase }, { above: 0 });
    if (heads % groups !== 0) {
      throw new RangeError(
        `Cannot ${operation} of ${groups} groups: heads is ${heads}, expected a multiple of groups`,
      );
    }
    const stride = heads * headDim + row;
    this.#requireShape(operation, source, batch, stride, stride);
    this.requireRoom();
    overwritten(operation, source);
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
    const bytes = DTYPE_BYTES[this.#tokens.dtype] * elementCount(rest);
    return this.#tokens.address + BigInt(layer) * BigInt(bytes);
  }

  /** Throws unless a projection is of the cache's type, in which it would be read. */
  #requireType(operation: string, { dtype }: DeviceTensor): void {
    const own = this.#tokens.dtype;
    if (dtype === own) return;
    throw new TypeError(
      `Cannot ${operation} of ${own} and a projection of ${dtype}: they must be of one type`,
    );
  }

  /** Throws unless the shape is `[rows, least … most]`. */
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
      `Cannot ${operation} of ${this.#tokens.shape[1]} sequences and a projection of shape ` +
        `${showShape(shape)}: it needs [${rows}, ${least}${most === least ? "" : " or more"}]`,
    );
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.#tokens[Symbol.dispose]();
    this.#lengths[Symbol.dispose]();
    this.#routers[Symbol.dispose]();
  }
}

/** The place for what a layer's router keeps of the prompts, until the sequences are replaced. */
export function routerMemoryOf(cache: KeyValueCache<Real>, layer: number): RouterMemory {
  return memoryOfRouter(cache, layer);
}

/** The sizes of a cache that depend on its model. */
export function modelSizesOf(cache: KeyValueCache<Real>): ModelSizes {
  return sizesOf(cache);
}
