/** Devices, their tensors, and transfers to and from the host. @module */

import { checkGradient, defineOperation, Device, dim, multiply, read } from "@remoe/remoe";
import { readSync, recompute, scale, square, sum, type Tensor, write } from "@remoe/remoe";
import { randomNumbers } from "../../../kernels/cases/reference/philox.ts";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { demand, demandShape, demandTensor, elements, type Entry, f32 } from "../entry.ts";
import { HostTensor } from "../entry.ts";
import { readResult } from "../outcome.ts";
import { broadcast } from "./elementwise.ts";

const FLOATS: readonly DType[] = ["f32", "bf16"];
const ALL: readonly DType[] = ["f32", "bf16", "i32", "f64"];

function demandOptions(options: unknown): asserts options is Record<string, unknown> {
  demand(typeof options === "object" && options !== null, "options");
}

function demandNumbers(values: unknown): asserts values is readonly number[] {
  demand(
    Array.isArray(values) && Array.from(values).every((n) => typeof n === "number"),
    "numbers",
  );
}

function demandSizes(shape: unknown): asserts shape is readonly number[] {
  demandShape(shape);
  demand(shape.every((size) => size > 0), "a size of 0");
}

function constant(value: number) {
  return (_: Device, shape: unknown): HostTensor => {
    demandSizes(shape);
    demand(elements(shape) < 2 ** 27, "too large");
    return f32(shape, Array<number>(elements(shape)).fill(value));
  };
}

/** An option's value if it is a finite number, or its default. */
function numberOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  demand(Number.isFinite(value), "no finite number");
  return value as number;
}

/** The first numbers that a device of seed 5 draws. */
function drawn(distribution: "normal" | "uniform", shape: unknown, a: unknown, b: unknown) {
  demandSizes(shape);
  demand(elements(shape) < 2 ** 20, "too large");
  const [first, second] = [numberOf(a, NaN), numberOf(b, NaN)];
  const draw = { seed: 5n, operation: 0, step: 0 };
  return f32(shape, randomNumbers(distribution, elements(shape), first, second, draw));
}

const made: readonly Entry[] = [
  {
    of: "Device.from",
    make: (w) => [w.device, [1, 2, 3, 4, 5, 6], [2, 3]],
    call: (device, values, shape) => device.from(values, shape),
    right: (_, values, shape) => {
      demandNumbers(values);
      demandSizes(shape);
      demand(values.length === elements(shape), "counts");
      return f32(shape, values.map(Math.fround));
    },
    object: true,
  },
  {
    of: "Device.tokens",
    make: (w) => [w.device, [7, 0, -1]],
    call: (device, values) => device.tokens(values),
    right: (_, values) => {
      demandNumbers(values);
      demand(values.length > 0 && values.every((value) => value === (value | 0)), "no int32");
      return new HostTensor("i32", [values.length], values.map((value) => value + 0));
    },
    object: true,
  },
  ...([["zeros", 0], ["ones", 1]] as const).map(([name, value]): Entry => ({
    of: `Device.${name}`,
    make: (w) => [w.device, [2, 3]],
    call: (device: Device, shape) => device[name](shape),
    right: constant(value),
    object: true,
  })),
  {
    of: "Device.full",
    make: (w) => [w.device, [2, 3], 0.5],
    call: (device, shape, value) => device.full(shape, value),
    right: (device, shape, value) => {
      demand(typeof value === "number", "no number");
      return constant(Math.fround(value))(device, shape);
    },
    object: true,
  },
  {
    of: "Device.normal",
    make: async (w) => [await w.fresh(), [2, 3], { mean: 2, deviation: 0.5 }],
    call: (device, shape, options) => device.normal(shape, options),
    right: (_, shape, options = {}) => {
      demandOptions(options);
      const { mean = 0, deviation = 1 } = options;
      demand(deviation as number >= 0, "deviation");
      return drawn("normal", shape, mean, deviation);
    },
    object: true,
  },
  {
    of: "Device.uniform",
    make: async (w) => [await w.fresh(), [2, 3], { low: -3, high: -2 }],
    call: (device, shape, options) => device.uniform(shape, options),
    right: (_, shape, options = {}) => {
      demandOptions(options);
      const { low = 0, high = 1 } = options;
      demand(low as number <= (high as number), "bounds");
      return drawn("uniform", shape, low, high);
    },
    object: true,
  },
  {
    of: "Device.parameter",
    make: async (w) => [
      await w.fresh(),
      [2, 3],
      { name: "bias", decay: false, mean: 1.5, deviation: 0.25 },
    ],
    call: async (device: Device, shape, options) => {
      using parameter = device.parameter(shape, options);
      const { name, decay } = parameter;
      return { name, decay, value: await readResult(parameter) };
    },
    right: (_, shape, options = {}) => {
      demandOptions(options);
      const { name = "weight", decay = shape?.length > 1, mean = 0, deviation = 0.02 } = options;
      demand(typeof name === "string" && typeof decay === "boolean", "name, decay");
      demand(deviation as number >= 0, "deviation");
      return { name, decay, value: drawn("normal", shape, mean, deviation) };
    },
    object: true,
  },
];

const SILENT = ["synchronize", "resetPeak", "trim", "close"] as const;

const states: readonly Entry[] = [
  {
    of: "Device.open",
    make: () => [{ kind: "cpu", threads: 1, seed: 3, debug: true }],
    call: async (options) => {
      using device = await Device.open(options);
      return device.info().backend;
    },
    right: (options = {}) => {
      demandOptions(options);
      const { kind = "auto", threads = 0, seed = 0, debug = false } = options;
      demand(["auto", "cpu"].includes(kind as string) && typeof debug === "boolean", "kind");
      demand(Number.isInteger(threads) && Number.isInteger(seed), "threads");
      return "cpu";
    },
  },
  ...SILENT.map((name): Entry => ({
    of: `Device.${name}`,
    make: async (w) => [name === "close" ? await w.fresh() : w.device],
    call: (device: Device) => device[name](),
    right: () => undefined,
    object: true,
  })),
  {
    of: "Device.[Symbol.dispose]",
    make: async (w) => [await w.fresh()],
    call: (device: Device) => device[Symbol.dispose](),
    right: () => undefined,
    object: true,
  },
  {
    of: "Device.statistics",
    make: async (w) => [await w.fresh()],
    call: (device: Device) => (device.ones([64]), device.statistics().inUse),
    right: () => 256,
    object: true,
  },
  {
    of: "Device.info",
    make: (w) => [w.device],
    call: (device: Device) => device.info().threads,
    right: () => 1,
    object: true,
  },
  {
    of: "Device.leaks",
    make: async (w) => [await w.fresh()],
    call: (device: Device) => (device.ones([64]), device.leaks().map(({ bytes }) => bytes)),
    right: () => [256],
    object: true,
  },
  ...(["scope", "noGradient"] as const).map((name): Entry => ({
    of: `Device.${name}`,
    make: (w) => [w.device, w.f32([2])],
    call: (device: Device, x) => {
      using scope = device[name]();
      return scope.keep(x);
    },
    right: (_, x) => (demandTensor(x, ALL), x),
    object: true,
  })),
  {
    of: "Device.record",
    make: (w) => [w.device, w.f32([2, 2]), { scale: 2 }],
    call: (device: Device, x, options) => {
      using tape = device.record();
      tape.backward(sum(square(tape.watch(x))), options);
      return tape.keep(tape.gradient(x));
    },
    right: (_, x, options = {}) => {
      demandTensor(x);
      demandOptions(options);
      const factor = numberOf(options.scale, 1);
      return f32(x.shape, x.data.map((value) => 2 * value * factor));
    },
    object: true,
  },
];

const host: readonly Entry[] = [
  {
    of: "read",
    make: (w) => [w.f32([2, 3])],
    call: read,
    right: (x) => (demandTensor(x, ALL), x.data),
  },
  {
    of: "readSync",
    make: (w) => [w.f32([2, 3])],
    call: readSync,
    right: (x) => (demandTensor(x, ALL), x.data),
  },
  {
    of: "write",
    make: (w) => [w.f32([3]), [1, 2, 3]],
    call: (x, values) => (write(x, values), x),
    right: (x, values) => {
      demandTensor(x, ALL);
      demandNumbers(values);
      demand(values.length === elements(x.shape), "counts");
      demand(x.dtype !== "i32" || values.every((value) => value === (value | 0)), "no int32");
      return new HostTensor(x.dtype, x.shape, values);
    },
  },
  {
    of: "dim",
    make: () => ["hidden", 8],
    call: dim,
    right: (_, size) => {
      demand(Number.isInteger(size) && size > 0 && size < 2 ** 31, "size");
      return size;
    },
  },
];

const own: readonly Entry[] = [
  {
    of: "defineOperation",
    make: (
      w,
    ) => [{ name: "double", forward: (x: Tensor<"f32">) => scale(x, 2), backward }, w.f32([3])],
    call: (definition, x) => defineOperation(definition)(x),
    right: (definition, x) => {
      demandOptions(definition);
      demandTensor(x, FLOATS);
      demand(typeof definition.name === "string", "name");
      demand([definition.forward, definition.backward].every((f) => typeof f === "function"), "f");
      return new HostTensor(x.dtype, x.shape, x.data.map((value) => 2 * value));
    },
  },
  {
    of: "recompute",
    make: (w) => [(x: Tensor<"f32">, y: Tensor<"f32">) => multiply(x, y), w.f32([3]), w.f32([3])],
    call: recompute,
    right: (body, x, y) => {
      demand(typeof body === "function", "body");
      return broadcast((a, b) => a * b, Math.imul)(x, y);
    },
  },
  {
    of: "checkGradient",
    make: (w) => [(x: Tensor<"f32">) => square(x), [w.f32([4])], { step: 0.01, samples: 4 }],
    call: async (body, inputs, options) => {
      const { error } = await checkGradient(body, inputs, options);
      // A step of 0.01 is about an ulp of bf16: the difference says little.
      return error < (inputs.some(({ dtype }: Tensor) => dtype === "bf16") ? 1 : 0.01);
    },
    right: (body, inputs, options = {}) => {
      demand(typeof body === "function" && Array.isArray(inputs) && inputs.length > 0, "inputs");
      for (const input of inputs) demandTensor(input, FLOATS);
      demandOptions(options);
      const { step = 0.01, samples = 64 } = options as { step?: number; samples?: number };
      demand(Number.isFinite(step) && step > 0, "step");
      demand(Number.isInteger(samples) && samples > 0, "samples");
      // A finite difference with a step beyond fp32's range means nothing, nor does one of
      // infinities.
      const isFinite = inputs.every(({ data }) => data.every(Number.isFinite));
      return step < 2 ** 12 && isFinite;
    },
  },
];

function backward({ gradient }: { gradient: Tensor<"f32"> }): readonly Tensor<"f32">[] {
  return [scale(gradient, 2)];
}

/** Devices and tensors. */
export const devices: readonly Entry[] = [...made, ...states, ...host, ...own];
