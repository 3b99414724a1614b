/** Linear projections. @module */

import { requireOptions } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { computeType } from "../autograd/compute_type.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { matmul } from "../autograd/matmul.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Settings of {@linkcode Linear}. */
export interface LinearOptions<
  I extends number = number,
  O extends number = number,
  R extends Real = "f32",
> {
  /** Size of an input row. */
  input: I;
  /** Size of an output row. */
  output: O;
  /** Standard deviation of the initial weights. Default 0.02. */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `weight`. */
  name?: string;
  /** The type it computes in; its weights are kept in fp32 besides. Default `f32`. */
  dtype?: R;
}

/**
 * A linear projection `x · W` without bias.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, Linear } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using layer = new Linear(device, { input: 8, output: 3 });
 * const y = layer.forward(device.ones([5, 8])); // Tensor<"f32", readonly [5, 3]>
 * assert(y.shape[1] === 3);
 * ```
 */
export class Linear<
  const I extends number = number,
  const O extends number = number,
  R extends Real = "f32",
> implements Disposable {
  readonly #dtype: R;
  readonly #weight: ParameterTensor<readonly [I, O]>;

  static {
    showsItself(
      Linear,
      (layer) =>
        describeLayer(
          "Linear",
          { input: layer.#weight.shape[0], output: layer.#weight.shape[1] },
          layer.parameters(),
        ),
    );
  }

  /**
   * Creates a projection with random weights.
   *
   * @param device The layer's device.
   * @param options Sizes and initialisation.
   */
  constructor(device: Device, options: LinearOptions<I, O, R>) {
    requireOptions("build a linear layer", options, {
      input: true,
      output: true,
      deviation: true,
      name: true,
      dtype: true,
    });
    const { input, output, deviation = 0.02, name = "weight" } = options;
    requireSizes("build a linear layer", { input, output });
    requireNumbers("build a linear layer", { deviation }, { least: 0 });
    const dtype = computeType("build a linear layer", options.dtype);
    this.#dtype = dtype;
    this.#weight = ParameterTensor.make(memoryOf(device), name, [input, output], true, dtype);
    fillNormal(this.#weight, 0, deviation);
  }

  /** The weights `[input, output]`, in fp32 whatever type the layer computes in. */
  get weight(): Parameter<readonly [I, O]> {
    return this.#weight;
  }

  /**
   * Projects rows.
   *
   * @param x `[T, input]`.
   * @returns `[T, output]`.
   * @throws {ShapeMismatchError} If the input size does not match.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, NoInfer<I>]>,
  ): Tensor<R, readonly [T, O]> {
    return matmul<R, T, I, O>(x, this.#weight.readAs(this.#dtype));
  }

  /**
   * The trainable parameters: the weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#weight;
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
  }
}
