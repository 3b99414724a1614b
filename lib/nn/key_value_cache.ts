/** Keys and values of the tokens that a model has seen, for generation. @module */

import { ownList, requireOptions, requireWhole, shown } from "../arguments.ts";
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
import { cacheRows, type NewTokens, placedTokens } from "./new_tokens.ts";
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
let memoryOfRouter: (
  cache: KeyValueCache<Real>,
  layer: number,
  rows: readonly number[],
) => RouterMemory;

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
    memoryOfRouter = (cache, layer, rows) => cache.#routers.of(layer, rows);
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
    this.#routers = new RouterStates(this.#memory, batch);
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
   * Throws unless rows have room for new tokens.
   *
   * @param added Rows and tokens. Default one token for every row.
   * @throws {RangeError} If a row has no room for its tokens, or there is no such row.
   *
   * @example
   * ```ts
   * import { assertThrows } from "@std/assert";
   * import { Device, KeyValueCache } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const sizes = { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 8 };
   * using cache = new KeyValueCache(device, sizes);
   * cache.requireRoom({ rows: [1], counts: [8] });
   * assertThrows(() => cache.requireRoom({ rows: [1], counts: [9] }), RangeError);
   * ```
   */
  requireRoom(added: NewTokens = {}): void {
    this.#lengths.requireRoom(placedTokens("add tokens to a cache", added, this.batch));
  }

  /**
   * Empties rows, for other sequences to begin there.
   *
   * @param rows The rows; the others keep their tokens.
   * @throws {RangeError} If there is no such row, or one is given twice.
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
   * cache.setLengths([5, 5]);
   * cache.release([0]);
   * assert(cache.lengths.join() === "0,5");
   * ```
   */
  release(rows: readonly number[]): void {
    const lengths = [...this.#lengths.values];
    for (const row of cacheRows("release rows of a cache", rows, this.batch)) lengths[row] = 0;
    this.setLengths(lengths);
  }

  /**
   * Copies the tokens of rows to other rows, in place of theirs: continuations of one text, which
   * is then computed once.
   *
   * @param from The rows to copy, of which one may be given several times.
   * @param to As many rows, all different, none of which is copied.
   * @throws {RangeError} If there is no such row, one of `to` is given twice or copied, or there are
   * not as many rows.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, KeyValueCache } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const sizes = { layers: 1, groups: 1, headDim: 4, batch: 3, capacity: 8 };
   * using cache = new KeyValueCache(device, sizes);
   * cache.attend(0, device.normal([1, 12]), 1, 1e4, { rows: [0] });
   * cache.setLengths([1, 0, 0]);
   * cache.copyRows([0, 0], [1, 2]);
   * assert(cache.lengths.join() === "1,1,1");
   * ```
   */
  copyRows(from: readonly number[], to: readonly number[]): void {
    const operation = "copy rows of a cache";
    const targets = cacheRows(operation, to, this.batch, "to");
    const sources = copiedRows(operation, from, targets, this.batch);
    this.#tokens.requireAlive("copy rows of");
    const { kernels: k } = this.#memory;
    const [layers, batch, capacity, row] = this.#tokens.shape;
    const bytes = DTYPE_BYTES[this.#tokens.dtype] * row;
    const lengths = [...this.#lengths.values];
    for (const [i, target] of targets.entries()) {
      const source = sources[i]!;
      const length = lengths[target] = lengths[source]!;
      if (length === 0) continue;
      for (let layer = 0; layer < layers; layer++) {
        const at = (b: number) =>
          this.#tokens.address + BigInt(bytes * capacity * (layer * batch + b));
        const status = k.symbols.remoe_copy(
          k.handle,
          at(target),
          at(source),
          BigInt(bytes * length),
        );
        k.check(status, operation);
      }
    }
    this.#routers.copyRows(sources, targets);
    this.#lengths.replace(lengths);
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
    this.#lengths.holdsBeyond(
      layer,
      placedTokens("fill a cache", { counts: new Array(batch).fill(sequence) }, batch),
    );
  }

  /**
   * Attends with new tokens of some sequences, and stores their keys and values after the tokens
   * counted by the lengths.
   *
   * @param layer Index of the layer.
   * @param qkv The projection `[T, columns]` of the new tokens, one sequence after the other; it is
   * overwritten.
   * @param heads Number of query heads.
   * @param ropeBase Base of the rotary frequencies.
   * @param added Which rows get how many tokens. Default one token for every row.
   * @returns `[T, heads · headDim]`.
   * @throws {RangeError} If there is no such layer or row, or no room for the tokens.
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
    added: NewTokens = {},
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
    const placed = placedTokens(operation, added, batch);
    this.#requireShape(operation, source, placed.total, stride, stride);
    this.#lengths.requireRoom(placed);
    overwritten(operation, source);
    const held = { tokens, lengths: this.#lengths.address, batch, capacity, groups, headDim };
    const out = cachedAttention(source, held, placed, heads, ropeBase);
    this.#lengths.holdsBeyond(layer, placed);
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

/** The place for what a layer's router keeps of the prompts in some rows, until they are replaced. */
export function routerMemoryOf(
  cache: KeyValueCache<Real>,
  layer: number,
  rows: readonly number[],
): RouterMemory {
  return memoryOfRouter(cache, layer, rows);
}

/** Checks the rows to copy: as many as there are targets, none of which is one. */
function copiedRows(
  operation: string,
  given: readonly number[],
  targets: readonly number[],
  batch: number,
): readonly number[] {
  if (!Array.isArray(given) || given.length !== targets.length) {
    throw new RangeError(
      `Cannot ${operation}: from is ${
        shown(given)
      }, expected an array of ${targets.length} rows, ` +
        `one for each of to`,
    );
  }
  const rows = ownList<number>(given);
  const taken = new Set(targets);
  for (const [i, row] of rows.entries()) {
    requireWhole(operation, `from[${i}]`, row, { most: batch - 1 });
    if (taken.has(row)) {
      throw new RangeError(`Cannot ${operation}: row ${row} is in from and in to`);
    }
  }
  return rows;
}

/** The sizes of a cache that depend on its model. */
export function modelSizesOf(cache: KeyValueCache<Real>): ModelSizes {
  return sizesOf(cache);
}
