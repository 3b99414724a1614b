/** The attention layer: projection in, causal grouped-query attention, projection out. @module */

import { requireOptions, requireText } from "../arguments.ts";
import { causalAttention } from "../autograd/attention.ts";
import { computeType } from "../autograd/compute_type.ts";
import type { Device } from "../autograd/device.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type LayerCache, requireCacheFor } from "./layer_cache.ts";
import { Linear } from "./linear.ts";
import { type PlacedTokens, placedTokens } from "./new_tokens.ts";
import { QKV_OPTION_NAMES, type QkvOptions, qkvSettings } from "./qkv_options.ts";
import { QkvProjection } from "./qkv_projection.ts";

/** Settings of {@linkcode Attention}. */
export interface AttentionOptions<R extends Real = "f32"> extends QkvOptions {
  /** Size of a hidden state. */
  hidden: number;
  /** Number of query heads; without a `headDim`, `hidden / heads` must be an even integer. */
  heads: number;
  /** Number of key/value head groups; must divide `heads`. Default `heads`. */
  groups?: number;
  /** Base of the rotary frequencies. Default 1e6. */
  ropeBase?: number;
  /** Epsilon of the norms of queries and keys, if there are any. Default 1e-5. */
  normEpsilon?: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Same, for the output projection. Default `deviation`. */
  outputDeviation?: number;
  /** Prefix of the weights' names in checkpoints. Default `self_attn`. */
  name?: string;
  /** The type it computes in; its weights are kept in fp32 besides. Default `f32`. */
  dtype?: R;
}

/**
 * Causal grouped-query attention with rotary positions (RoPE), as in LLaMA; options add what other
 * families have.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Attention, Device } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using layer = new Attention(device, { hidden: 32, heads: 4, groups: 2 });
 * const y = layer.forward(device.normal([2 * 16, 32]), 16); // two sequences of 16 tokens
 * assert(y.shape[1] === 32);
 * ```
 */
export class Attention<R extends Real = "f32"> implements Disposable {
  readonly #dtype: R;
  readonly #qkv: QkvProjection<R>;
  readonly #output: Linear<number, number, R>;
  readonly #heads: number;
  readonly #groups: number;
  readonly #headDim: number;
  readonly #ropeBase: number;
  readonly #owned: DisposableStack;

  static {
    showsItself(Attention, (layer) =>
      describeLayer("Attention", {
        heads: layer.#heads,
        groups: layer.#groups,
        headDim: layer.#headDim,
        ropeBase: layer.#ropeBase,
      }, layer.parameters()));
  }

  /**
   * Creates a layer with random weights.
   *
   * @param device The layer's device.
   * @param options Sizes and initialisation.
   * @throws {ConfigError} If the size of a head is not an even integer, `groups` does not divide
   * `heads`, or a setting is out of range.
   */
  constructor(device: Device, options: AttentionOptions<R>) {
    requireOptions("build attention", options, {
      hidden: true,
      heads: true,
      groups: true,
      ropeBase: true,
      normEpsilon: true,
      deviation: true,
      outputDeviation: true,
      ...QKV_OPTION_NAMES,
      name: true,
      dtype: true,
    });
    const { hidden, heads, groups = heads, ropeBase = 1e6, name = "self_attn" } = options;
    requireSizes("build attention", { hidden, heads, groups });
    requireNumbers("build attention", { ropeBase }, { above: 0 });
    requireText("build attention", "name", name);
    const { deviation = 0.02, outputDeviation = deviation, normEpsilon = 1e-5 } = options;
    requireNumbers("build attention", { normEpsilon }, { least: 0 });
    const settings = qkvSettings("build attention", { ...options, hidden, heads, groups });
    const { headDim } = settings;
    const dtype = computeType("build attention", options.dtype);
    this.#dtype = dtype;
    this.#heads = heads;
    this.#groups = groups;
    this.#headDim = headDim;
    this.#ropeBase = ropeBase;
    using made = new DisposableStack();
    this.#qkv = made.use(
      new QkvProjection<R>(device, {
        ...settings,
        ...{ hidden, heads, groups, deviation, normEpsilon, name, dtype },
      }),
    );
    this.#output = made.use(
      new Linear<number, number, R>(device, {
        dtype,
        input: heads * headDim,
        output: hidden,
        deviation: outputDeviation,
        name: `${name}.o_proj.weight`,
      }),
    );
    this.#owned = made.move();
  }

  /**
   * Attends within each sequence.
   *
   * @param x `[batch · sequence, hidden]`.
   * @param sequence Tokens per sequence.
   * @param cached Cache of earlier tokens' keys and values, to which the new ones are added. Its
   * `counts` say which rows of `x` belong to which sequence; by default each has `sequence`.
   * @returns A tensor of the same shape.
   * @throws {ShapeMismatchError} If the number of rows is not a multiple of `sequence`, or not that
   * of the tokens to add.
   * @throws {ConfigError} If the cache is for another head size, number of groups or type.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
    sequence: number,
    cached?: LayerCache<R>,
  ): Tensor<R, readonly [T, number]> {
    const held = cached === undefined ? null : this.#checked(cached, sequence);
    const qkv = this.#qkv.forward(x);
    const length = held === null ? sequence : wholeSequences(held);
    if (held !== null && length === null) {
      const { cache, layer, rows, counts } = held;
      const attended = cache.attend(layer, qkv, this.#heads, this.#ropeBase, { rows, counts });
      return this.#output.forward(attended as Tensor<R, readonly [T, number]>);
    }
    const attended = causalAttention<T, R>(qkv, {
      sequence: length ?? sequence,
      heads: this.#heads,
      groups: this.#groups,
      ropeBase: this.#ropeBase,
      inPlace: true,
    });
    // Attention rotated the keys in place, as the cache needs them.
    held?.cache.fill(held.layer, qkv, length ?? sequence);
    return this.#output.forward(attended);
  }

  /** Checks a cache that was passed in, reading each property once. */
  #checked(cached: LayerCache<R>, sequence: number): LayerCache<R> & PlacedTokens {
    requireOptions("attend with a cache", cached);
    const { cache, layer, rows, counts } = cached;
    const model = { groups: this.#groups, headDim: this.#headDim, dtype: this.#dtype };
    requireCacheFor("attend", model, cache);
    const placed = placedTokens("attend with a cache", {
      rows,
      counts: counts ?? new Array(rows?.length ?? cache.batch).fill(sequence),
    }, cache.batch);
    return { cache, layer, ...placed };
  }

  /**
   * The trainable parameters: both projections, with the bias and the norms of the first if it has
   * them.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* this.#qkv.parameters();
    yield* this.#output.parameters();
  }

  /** Frees the projections. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/**
 * The tokens of each sequence where all rows of an empty cache get equally many, in order: they need
 * no earlier ones, and attention without a cache is faster. Otherwise null.
 */
function wholeSequences<R extends Real>(
  { cache, rows, counts }: LayerCache<R> & PlacedTokens,
): number | null {
  const [length = 1] = counts;
  const areWhole = rows.length === cache.batch && length > 1 &&
    rows.every((row, i) => row === i) && counts.every((count) => count === length) &&
    cache.lengths.every((tokens) => tokens === 0);
  return areWhole ? length : null;
}
