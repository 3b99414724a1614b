/** The LLaMA transformer block. @module */

import { requireFunction, requireOptions, requireText, shown } from "../arguments.ts";
import type { Device } from "../autograd/device.ts";
import { add } from "../autograd/arithmetic.ts";
import { buffersOf, type Parameter, parametersOf } from "../autograd/parameter.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import type { RoutingContext } from "../moe/routing_context.ts";
import type { Real } from "../tensor/dtype.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Attention } from "./attention.ts";
import type { LayerCache } from "./layer_cache.ts";
import { QKV_OPTION_NAMES, type QkvOptions } from "./qkv_options.ts";
import { RmsNorm } from "./rms_norm.ts";

/**
 * The second half of a block: a {@linkcode FeedForward}, an MoE layer, or a layer of your own.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, type FeedForwardLayer, MoE, TopKRouter, TransformerBlock } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const hidden: number = 16;
 * using router = new TopKRouter(device, { hidden, experts: 4 as number });
 * const moe = new MoE(device, { router, hidden, width: 8 });
 * const feedForward: FeedForwardLayer = {
 *   forward: (x, context) => moe.forward(x, context).output,
 *   parameters: () => moe.parameters(),
 *   [Symbol.dispose]: () => moe[Symbol.dispose](),
 * };
 * using block = new TransformerBlock(device, { hidden, heads: 2, feedForward });
 * assert(block.forward(device.normal([8, hidden]), 8).shape[0] === 8);
 * assert(feedForward.forward(device.normal([2, hidden])).shape[0] === 2);
 * ```
 */
export interface FeedForwardLayer<R extends Real = "f32"> extends Disposable {
  /**
   * Runs on each row.
   *
   * @param x `[T, hidden]`.
   * @param context Context for a router; passed by models.
   * @returns A tensor of the same shape and type.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
    context?: Partial<RoutingContext>,
  ): Tensor<R, readonly [T, number]>;
  /**
   * The trainable parameters.
   *
   * @returns The parameters, always in the same order.
   */
  parameters(): Iterable<Parameter>;
  /**
   * The tensors saved with the weights but not trained.
   *
   * @returns The tensors, always in the same order. A layer without the method has none.
   */
  buffers?(): Iterable<Parameter>;
}

/** Settings of {@linkcode TransformerBlock}. */
export interface TransformerBlockOptions<R extends Real = "f32"> extends QkvOptions {
  /** Size of a hidden state. */
  hidden: number;
  /** Number of query heads. */
  heads: number;
  /** Number of key/value head groups. Default `heads`. */
  groups?: number;
  /** Base of the rotary frequencies. Default 1e6. */
  ropeBase?: number;
  /** Epsilon of the norms. Default 1e-5. */
  normEpsilon?: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Same, for the attention's output projection. Default `deviation`. */
  outputDeviation?: number;
  /** The second half, which computes in the same type; the block disposes of it. */
  feedForward: FeedForwardLayer<NoInfer<R>>;
  /** Prefix of the weights' names in checkpoints. Default `layer`. */
  name?: string;
  /** The type it computes in; its weights are kept in fp32 besides. Default `f32`. */
  dtype?: R;
}

/**
 * A pre-norm transformer block: `x + attention(norm(x))`, then `x + feedForward(norm(x))`.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, FeedForward, TransformerBlock } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const feedForward = new FeedForward(device, { hidden: 32 });
 * using block = new TransformerBlock(device, { hidden: 32, heads: 4, feedForward });
 * assert(block.forward(device.normal([16, 32]), 16).shape[1] === 32);
 * ```
 */
export class TransformerBlock<R extends Real = "f32"> implements Disposable {
  readonly #attentionNorm: RmsNorm;
  readonly #attention: Attention<R>;
  readonly #feedForwardNorm: RmsNorm;
  readonly #feedForward: FeedForwardLayer<R>;
  readonly #owned: DisposableStack;

  static {
    showsItself(
      TransformerBlock,
      (layer) => describeLayer("TransformerBlock", {}, layer.parameters()),
    );
  }

  /**
   * Creates a block with random weights.
   *
   * @param device The block's device.
   * @param options Sizes, initialisation, second half.
   * @throws {ConfigError} If the size of a head is not an even integer, `groups` does not divide
   * `heads`, or a setting is out of range.
   */
  constructor(device: Device, options: TransformerBlockOptions<R>) {
    requireOptions("build a block", options, {
      hidden: true,
      heads: true,
      groups: true,
      ropeBase: true,
      normEpsilon: true,
      deviation: true,
      outputDeviation: true,
      ...QKV_OPTION_NAMES,
      feedForward: true,
      name: true,
      dtype: true,
    });
    const { normEpsilon: epsilon = 1e-5, name = "layer", feedForward, ...attention } = options;
    const { hidden } = attention;
    requireFeedForward<R>("build a block", feedForward);
    requireText("build a block", "name", name);
    using made = new DisposableStack();
    const norm = (part: string) =>
      made.use(new RmsNorm(device, { hidden, epsilon, name: `${name}.${part}.weight` }));
    this.#attentionNorm = norm("input_layernorm");
    this.#attention = made.use(
      new Attention<R>(device, {
        ...{ ...attention, normEpsilon: epsilon },
        name: `${name}.self_attn`,
      }),
    );
    this.#feedForwardNorm = norm("post_attention_layernorm");
    // Last: until the block is complete, the feed-forward layer belongs to the caller.
    this.#feedForward = made.use(feedForward);
    this.#owned = made.move();
  }

  /**
   * Runs the block.
   *
   * @param x `[batch · sequence, hidden]`.
   * @param sequence Tokens per sequence.
   * @param cached Cache of earlier tokens' keys and values, to which the new ones are added.
   * @param context Context for a router.
   * @returns A tensor of the same shape.
   * @throws {ShapeMismatchError} If the second half returns another shape.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
    sequence: number,
    cached?: LayerCache<R>,
    context: Partial<RoutingContext> = {},
  ): Tensor<R, readonly [T, number]> {
    const normed = this.#attentionNorm.forward<T, number, R>(x);
    const attended = add<R, readonly [T, number]>(
      x,
      this.#attention.forward(normed, sequence, cached),
    );
    const output = this.#feedForward.forward(
      this.#feedForwardNorm.forward<T, number, R>(attended),
      { ...context, sequence },
    );
    // add() would broadcast the wrong shape of a user-defined layer, and carry on.
    if (output?.shape !== undefined && !sameShape(output.shape, attended.shape)) {
      throw new ShapeMismatchError(
        `Cannot run a block: its second half gave ${showShape(output.shape)} for ` +
          `${showShape(attended.shape)}, expected the same shape`,
      );
    }
    return add<R, readonly [T, number]>(attended, output);
  }

  /**
   * The trainable parameters: norms, attention and second half.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* this.#attentionNorm.parameters();
    yield* this.#attention.parameters();
    yield* this.#feedForwardNorm.parameters();
    yield* parametersOf("a block's second half", this.#feedForward);
  }

  /**
   * The tensors saved with the weights but not trained.
   *
   * @returns The tensors, always in the same order.
   */
  buffers(): Iterable<Parameter> {
    return buffersOf("a block's second half", this.#feedForward);
  }

  /** Frees the weights, including those of the second half. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** Throws unless `layer` has the methods of a feed-forward layer. */
export function requireFeedForward<R extends Real>(
  operation: string,
  layer: FeedForwardLayer<R>,
): asserts layer is FeedForwardLayer<R> {
  if (typeof layer?.forward !== "function") {
    throw new ConfigError(
      `Cannot ${operation}: feedForward is ${shown(layer)}, expected a layer`,
    );
  }
  requireFunction(operation, "feedForward.parameters", layer.parameters);
  if (layer.buffers !== undefined) {
    requireFunction(operation, "feedForward.buffers", layer.buffers);
  }
  requireFunction(operation, "feedForward[Symbol.dispose]", layer[Symbol.dispose]);
}
