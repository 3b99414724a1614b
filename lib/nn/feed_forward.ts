/** The dense feed-forward layer. @module */

import { requireOptions, requireText } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { computeType } from "../autograd/compute_type.ts";
import type { Device } from "../autograd/device.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { swiglu } from "../autograd/swiglu.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Linear } from "./linear.ts";

/** Settings of {@linkcode FeedForward}. */
export interface FeedForwardOptions<R extends Real = "f32"> {
  /** Size of a hidden state. */
  hidden: number;
  /** Width of the network. Default 4 · hidden. */
  width?: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Same, for the down projection. Default `deviation`. */
  outputDeviation?: number;
  /** Prefix of the weights' names in checkpoints. Default `mlp`. */
  name?: string;
  /** The type it computes in; its weights are kept in fp32 besides. Default `f32`. */
  dtype?: R;
}

/**
 * LLaMA's feed-forward network: `(silu(x W_gate) · x W_up) W_down`. An MoE layer with a single
 * expert and a gate of 1 computes the same function.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, FeedForward } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using layer = new FeedForward(device, { hidden: 8 });
 * assert(layer.forward(device.normal([5, 8])).shape[1] === 8);
 * ```
 */
export class FeedForward<R extends Real = "f32"> implements Disposable {
  readonly #gateUp: Linear<number, number, R>;
  readonly #down: Linear<number, number, R>;
  readonly #owned: DisposableStack;

  static {
    showsItself(FeedForward, (layer) =>
      describeLayer("FeedForward", {
        hidden: layer.#down.weight.shape[1],
        width: layer.#down.weight.shape[0],
      }, layer.parameters()));
  }

  /**
   * Creates a network with random weights.
   *
   * @param device The layer's device.
   * @param options Sizes and initialisation.
   */
  constructor(device: Device, options: FeedForwardOptions<R>) {
    requireOptions("build a feed-forward network", options, {
      hidden: true,
      width: true,
      deviation: true,
      outputDeviation: true,
      name: true,
      dtype: true,
    });
    const { hidden, name = "mlp", deviation = 0.02 } = options;
    requireSizes("build a feed-forward network", { hidden });
    const { width = 4 * hidden, outputDeviation = deviation } = options;
    requireSizes("build a feed-forward network", { width });
    requireSizes("build a feed-forward network", { "2 · width": 2 * width });
    requireNumbers("build a feed-forward network", { outputDeviation }, { least: 0 });
    requireText("build a feed-forward network", "name", name);
    const dtype = computeType("build a feed-forward network", options.dtype);
    using made = new DisposableStack();
    this.#gateUp = made.use(
      new Linear<number, number, R>(device, {
        dtype,
        input: hidden,
        output: 2 * width,
        deviation,
        name: `${name}.gate_up_proj.weight`,
      }),
    );
    this.#down = made.use(
      new Linear<number, number, R>(device, {
        dtype,
        input: width,
        output: hidden,
        deviation: outputDeviation,
        name: `${name}.down_proj.weight`,
      }),
    );
    this.#owned = made.move();
  }

  /**
   * Runs the network on each row.
   *
   * @param x `[T, hidden]`.
   * @returns A tensor of the same shape.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
  ): Tensor<R, readonly [T, number]> {
    return this.#down.forward(swiglu<T, R>(this.#gateUp.forward(x)));
  }

  /**
   * The trainable parameters: gate and up projections in one matrix, then the down projection.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* this.#gateUp.parameters();
    yield* this.#down.parameters();
  }

  /** Frees the matrices. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
