/** The RMSNorm layer. @module */

import { requireOptions } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { rmsNorm } from "../autograd/rms_norm.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";

/** Settings of {@linkcode RmsNorm}. */
export interface RmsNormOptions {
  /** Size of a row. */
  hidden: number;
  /** Added to the mean square, for rows near 0. Default 1e-5. */
  epsilon?: number;
  /** Name of the weight in checkpoints. Default `weight`. */
  name?: string;
}

/**
 * Root-mean-square normalisation with one scale per column, initially 1.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, RmsNorm } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using norm = new RmsNorm(device, { hidden: 8 });
 * assert(norm.forward(device.ones([2, 8])).shape[1] === 8);
 * ```
 */
export class RmsNorm implements Disposable {
  readonly #weight: ParameterTensor<readonly [number]>;
  readonly #epsilon: number;

  static {
    showsItself(
      RmsNorm,
      (layer) =>
        describeLayer(
          "RmsNorm",
          { hidden: layer.#weight.shape[0], epsilon: layer.#epsilon },
          layer.parameters(),
        ),
    );
  }

  /**
   * Creates a norm whose scales are 1.
   *
   * @param device The layer's device.
   * @param options Size and epsilon.
   */
  constructor(device: Device, options: RmsNormOptions) {
    requireOptions("build an RMSNorm", options, { hidden: true, epsilon: true, name: true });
    const { hidden, epsilon = 1e-5, name = "weight" } = options;
    requireSizes("build an RMSNorm", { hidden });
    requireNumbers("build an RMSNorm", { epsilon }, { least: 0 });
    this.#epsilon = epsilon;
    this.#weight = ParameterTensor.make(memoryOf(device), name, [hidden], false);
    fill(this.#weight, 1);
  }

  /**
   * Normalises rows.
   *
   * @param x `[T, hidden]`, f32 or bf16; the scales are fp32 either way.
   * @returns A tensor of the same shape and type.
   * @throws {ShapeMismatchError} If the row size does not match.
   */
  forward<T extends number, H extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
  ): Tensor<D, readonly [T, H]> {
    return rmsNorm(x, this.#weight, this.#epsilon);
  }

  /**
   * The trainable parameters: the scales.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#weight;
  }

  /** Frees the scales. */
  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
  }
}
