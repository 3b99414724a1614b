/** Constructors of tensors and parameters from given or random numbers. @module */

import { type OptionNames, requireFlag, requireNumber } from "../arguments.ts";
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
  /** Path in the model, used as its name in checkpoints. Default `weight`. */
  name?: string;
  /** Whether weight decay applies. Default true for two or more axes. */
  decay?: boolean;
}

/** Makes a tensor of given numbers, row-major. */
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

/** Makes a tensor filled with a value. */
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

/** Makes a tensor from the device's next normal draws. */
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

/** Makes a tensor from the device's next uniform draws. */
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

/** Makes a parameter from the device's next normal draws. */
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
  requireFlag("make a parameter", "decay", decay);
  const parameter = ParameterTensor.make(memory, name, shape, decay);
  fillNormal(parameter, mean, deviation);
  return parameter;
}

/** Fills a tensor from its device's next normal draws. */
export function fillNormal(tensor: DeviceTensor, mean: number, deviation: number): void {
  draw(DistributionCode.normal, tensor, mean, deviation);
}

function draw(distribution: number, tensor: DeviceTensor, a: number, b: number): void {
  const { kernels: k } = tensor.memory;
  tensor.storage.writes++;
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
