/** Parameters: trainable tensors with their own gradients. @module */

import { requireText, shown } from "../arguments.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { Real } from "../tensor/dtype.ts";
import type { GradientTarget } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Description } from "../tensor/display.ts";
import { DeviceTensor, type Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";
import { ComputeCopy } from "./compute_copy.ts";

/**
 * A trainable tensor; backward passes accumulate into its gradient.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, Linear, read, sum } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using layer = new Linear(device, { input: 2, output: 1, name: "layer" });
 * using tape = device.record();
 * tape.backward(sum(layer.forward(device.from([3, 4], [1, 2]))));
 * const { weight } = layer;
 * assert(weight.name === "layer" && (await read(weight.gradient)).join() === "3,4");
 * weight.zeroGradient();
 * assert((await read(weight.gradient)).join() === "0,0");
 * ```
 */
export interface Parameter<out S extends Shape = Shape> extends Tensor<"f32", S> {
  /** Path in the model, used as its name in checkpoints. */
  readonly name: string;
  /** Whether weight decay applies: to matrices, not to the scales of norms. */
  readonly decay: boolean;
  /** The gradient accumulated since {@linkcode Parameter.zeroGradient}; zeros at first. */
  readonly gradient: Tensor<"f32", S>;
  /** Discards the gradient. The next backward pass overwrites it, so no memory is touched now. */
  zeroGradient(): void;
}

/** The implementation of {@linkcode Parameter}. */
export class ParameterTensor<S extends Shape = Shape> extends DeviceTensor<"f32", S>
  implements Parameter<S> {
  #gradient: DeviceTensor<"f32", S> | null = null;
  /** Whether the gradient's memory counts as zero, whatever it holds. */
  #stale = true;
  #copy: ComputeCopy<S> | null = null;

  private constructor(
    of: DeviceTensor<"f32", S>,
    readonly name: string,
    readonly decay: boolean,
  ) {
    super(of.memory, "f32", of, of.storage, true);
    of.storage.isLeaf = true;
    Object.preventExtensions(this);
  }

  /**
   * Allocates an uninitialised parameter that outlives every scope, with a copy if products are to
   * read it as bf16.
   */
  static make<const S extends Shape>(
    memory: DeviceMemory,
    name: string,
    shape: S,
    decay: boolean,
    readAs: Real = "f32",
  ): ParameterTensor<S> {
    requireText("make a parameter", "name", name);
    const owner = `parameter ${name} ${showShape(shape)}`;
    using made = new DisposableStack();
    const parameter = made.use(
      new ParameterTensor(memory.allocateAtRoot("f32", shape, owner), name, decay),
    );
    if (readAs === "bf16") parameter.#copy = ComputeCopy.of(parameter);
    made.move();
    return parameter;
  }

  /** The bf16 copy that products read; null for a parameter made without. */
  get copy(): ComputeCopy<S> | null {
    return this.#copy;
  }

  /**
   * The values as products of a type read them: the parameter itself, or its bf16 copy, brought up
   * to date.
   */
  readAs<R extends Real>(dtype: R): DeviceTensor<R, S> {
    if (dtype === "f32") return this as DeviceTensor<Real, S> as DeviceTensor<R, S>;
    if (this.#copy === null) {
      throw new TypeError(`Cannot read ${this.described()} as bf16: it was made without a copy`);
    }
    this.#copy.refresh();
    return this.#copy as DeviceTensor<Real, S> as DeviceTensor<R, S>;
  }

  get gradient(): DeviceTensor<"f32", S> {
    const gradient = this.#buffer();
    if (this.#stale) {
      fill(gradient, 0);
      this.#stale = false;
    }
    return gradient;
  }

  zeroGradient(): void {
    this.#stale = true;
  }

  override describe(): Description {
    const { name } = this;
    const { label, facts, ...rest } = super.describe();
    return { ...rest, kind: "Parameter", label: `${name} ${label}`, facts: { name, ...facts } };
  }

  override gradientTarget(): GradientTarget {
    const accumulate = this.#stale ? 0 : 1;
    this.#stale = false;
    return { tensor: this.#buffer(), accumulate };
  }

  #buffer(): DeviceTensor<"f32", S> {
    this.requireAlive("take the gradient of");
    return this.#gradient ??= this.memory.allocateAtRoot(
      "f32",
      this.shape,
      `the gradient of ${this.described()}`,
    );
  }

  override [Symbol.dispose](): void {
    this.#gradient?.[Symbol.dispose]();
    this.#copy?.[Symbol.dispose]();
    super[Symbol.dispose]();
  }
}

/**
 * Lists the parameters of a layer, which may be user-defined.
 *
 * @param name The layer's name for messages.
 * @param layer The layer.
 * @returns Its parameters, in its order.
 * @throws {TypeError} If it returns no list.
 */
export function parametersOf(
  name: string,
  layer: { parameters(): Iterable<Parameter> },
): Iterable<Parameter> {
  return listed(name, "parameters", layer.parameters());
}

/**
 * Lists the buffers of a layer, which may be user-defined: saved with its parameters, not trained.
 *
 * @param name The layer's name for messages.
 * @param layer The layer.
 * @returns Its buffers, in its order; empty if it has no such method.
 * @throws {TypeError} If it returns no list.
 */
export function buffersOf(
  name: string,
  layer: { buffers?(): Iterable<Parameter> },
): Iterable<Parameter> {
  return listed(name, "buffers", layer.buffers === undefined ? [] : layer.buffers());
}

function listed(
  name: string,
  method: "parameters" | "buffers",
  list: Iterable<Parameter>,
): Iterable<Parameter> {
  if (typeof list?.[Symbol.iterator] === "function") return list;
  throw new TypeError(
    `Cannot list the ${method} of ${name}: ${method}() gave ${shown(list)}, expected an array`,
  );
}

/** Tells whether a tensor is a parameter. */
export function isParameter(tensor: DeviceTensor): tensor is ParameterTensor {
  return tensor instanceof ParameterTensor;
}

/** The parameter that takes a tensor's gradient: itself, or that of a copy; null for any other. */
export function parameterOf(tensor: DeviceTensor): ParameterTensor | null {
  if (tensor instanceof ParameterTensor) return tensor;
  return tensor instanceof ComputeCopy ? tensor.master as ParameterTensor : null;
}

/** A layer's parameter as products of a type read it; see {@linkcode ParameterTensor.readAs}. */
export function readAs<S extends Shape, R extends Real>(
  parameter: Parameter<S>,
  dtype: R,
): DeviceTensor<R, S> {
  return (parameter as ParameterTensor<S>).readAs(dtype);
}
