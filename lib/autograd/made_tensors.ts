/** Tensors and parameters of given or of random numbers, as devices make them. @module */

import { type OptionNames, requireNumber, requireOneOf } from "../arguments.ts";
import { DistributionCode } from "../ffi/mod.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { fill, write } from "../tensor/transfer.ts";
import {
  NORMAL_OPTIONS,
  normalOf,
  type NormalOptions,
  uniformOf,
  type UniformOptions,
} from "./distributions.ts";
import { type Parameter, ParameterTensor } from "./parameter.ts";

/** Options of a user-defined parameter. */
export interface ParameterOptions extends NormalOptions {
  /** Path in the model, as checkpoints name it. Default `weight`. */
  name?: string;
  /** Whether weight decay applies. Default: to tensors of two axes or more. */
  decay?: boolean;
}

/** A tensor of given numbers, row-major. */
export function writtenTensor<D extends DType, const S extends Shape>(
  memory: DeviceMemory,
  dtype: D,
  values: Iterable<number>,
  shape: S,
): DeviceTensor<D, S> {
  const tensor = memory.allocate(dtype, shape);
  try {
    write(tensor, values);
  } catch (error) {
    tensor[Symbol.dispose]();
    throw error;
  }
  return tensor;
}

/** A tensor of one number. */
export function filledTensor<const S extends Shape>(
  memory: DeviceMemory,
  shape: S,
  value: number,
): DeviceTensor<"f32", S> {
  requireNumber("fill a tensor", "value", value);
  const tensor = memory.allocate("f32", shape);
  fill(tensor, value);
  return tensor;
}

/** A tensor of the device's next normal draws. */
export function normalTensor<const S extends Shape>(
  memory: DeviceMemory,
  shape: S,
  options: NormalOptions,
): DeviceTensor<"f32", S> {
  const { mean, deviation } = normalOf("make normal numbers", options, 1);
  const tensor = memory.allocate("f32", shape);
  fillNormal(tensor, mean, deviation);
  return tensor;
}

/** A tensor of the device's next uniform draws. */
export function uniformTensor<const S extends Shape>(
  memory: DeviceMemory,
  shape: S,
  options: UniformOptions,
): DeviceTensor<"f32", S> {
  const { low, high } = uniformOf("make uniform numbers", options);
  const tensor = memory.allocate("f32", shape);
  draw(DistributionCode.uniform, tensor, low, high);
  return tensor;
}

/** A parameter of the device's next normal draws. */
export function normalParameter<const S extends Shape>(
  memory: DeviceMemory,
  shape: S,
  options: ParameterOptions,
): Parameter<S> {
  const { mean, deviation } = normalOf("make a parameter", options, 0.02, {
    ...NORMAL_OPTIONS,
    name: true,
    decay: true,
  } as OptionNames<ParameterOptions>);
  const { name = "weight", decay = shape?.length > 1 } = options;
  requireOneOf("make a parameter", "decay", decay, [true, false]);
  const parameter = ParameterTensor.make(memory, name, shape, decay);
  fillNormal(parameter, mean, deviation);
  return parameter;
}

/** Fills a tensor with the next normal draws of its device. */
export function fillNormal(tensor: DeviceTensor, mean: number, deviation: number): void {
  draw(DistributionCode.normal, tensor, mean, deviation);
}

function draw(distribution: number, tensor: DeviceTensor, a: number, b: number): void {
  const { kernels: k } = tensor.memory;
  const { seed, operation, step } = tensor.memory.nextDraw();
  k.check(
    k.symbols.remoe_random(
      k.handle,
      distribution,
      tensor.address,
      BigInt(tensor.size),
      a,
      b,
      seed,
      operation,
      step,
    ),
    "random",
  );
}
