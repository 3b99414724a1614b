/** Devices: where tensors live and operations run. @module */

import { shown } from "../arguments.ts";
import { openContext } from "../ffi/mod.ts";
import { showsItself } from "../tensor/display.ts";
import { DeviceMemory, type LiveTensor } from "../tensor/device_memory.ts";
import type { Scope } from "../tensor/scope.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { numbersOf } from "../tensor/transfer.ts";
import { describeDevice } from "./describe_device.ts";
import {
  checkedOptions,
  type DeviceInfo,
  type DeviceOptions,
  type DeviceStatistics,
} from "./device_options.ts";
import type { NormalOptions, UniformOptions } from "./distributions.ts";
import {
  filledTensor,
  normalParameter,
  normalTensor,
  type ParameterOptions,
  uniformTensor,
  writtenTensor,
} from "./made_tensors.ts";
import type { Parameter } from "./parameter.ts";
import { type Recording, Tape } from "./tape.ts";

// Friend access to Device: modules of this package can reach its memory, users cannot.
let memoryOfDevice: (device: Device) => DeviceMemory;

/**
 * A device: makes tensors, owns their memory, opens scopes and tapes.
 *
 * A tensor belongs to the innermost open scope and is freed when that closes; outside any scope it
 * belongs to the caller. A device serves one chain of awaits: concurrent work needs a second
 * device.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, matmul, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 42 });
 * {
 *   using _scope = device.scope();
 *   const y = matmul(device.normal([4, 8]), device.ones([8, 2])); // Tensor<"f32", readonly [4, 2]>
 *   assert((await read(y)).length === 8);
 * } // all three tensors are freed here
 * assert(device.statistics().inUse === 0);
 * ```
 */
export class Device implements Disposable {
  readonly #memory: DeviceMemory;

  private constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  static {
    memoryOfDevice = (device) => device.#memory;
    showsItself(Device, (device) => describeDevice(device.#memory));
  }

  /**
   * Finds a kernel library, verifies it and opens a device.
   *
   * @param options Kind, threads, seed, library.
   * @returns The device; close it with `using` or {@linkcode Device.close}.
   * @throws {LibraryError} If no library can be used; the message lists everything tried.
   * @throws {DeviceError} If the device cannot be opened.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", threads: 1 });
   * assert(device.info().backend === "cpu");
   * ```
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    const { seed, debug, ...choice } = checkedOptions(options);
    const { context } = await openContext(choice);
    return new Device(new DeviceMemory(context, debug, BigInt(seed)));
  }

  /**
   * Copies numbers to the device.
   *
   * @param values As many numbers as the shape has elements, row-major.
   * @param shape Sizes of the axes.
   * @returns An fp32 tensor.
   * @throws {ShapeMismatchError} If the count differs.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const x = device.from([1, 2, 3, 4, 5, 6], [2, 3]); // Tensor<"f32", readonly [2, 3]>
   * assert((await read(x))[5] === 6);
   * ```
   */
  from<const S extends Shape>(values: Iterable<number>, shape: S): Tensor<"f32", S> {
    return writtenTensor(this.#memory, "f32", values, shape);
  }

  /**
   * Copies integers to the device: tokens, targets, indices.
   *
   * @param values The numbers, from -2^31 to 2^31 - 1.
   * @returns An i32 tensor with one axis.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * const tokens = device.tokens([72, 105]); // Tensor<"i32", readonly [2]>
   * assert((await read(tokens))[1] === 105);
   * ```
   */
  tokens<const A extends ArrayLike<number> & Iterable<number>>(
    values: A,
  ): Tensor<"i32", readonly [A["length"]]> {
    const list = numbersOf("i32", values);
    return writtenTensor(this.#memory, "i32", list, [list.length] as readonly [A["length"]]);
  }

  /**
   * Makes a tensor of zeros.
   *
   * @param shape Sizes of the axes.
   * @returns An fp32 tensor.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * assert((await read(device.zeros([2, 2]))).every((value) => value === 0));
   * ```
   */
  zeros<const S extends Shape>(shape: S): Tensor<"f32", S> {
    return this.full(shape, 0);
  }

  /**
   * Makes a tensor of ones.
   *
   * @param shape Sizes of the axes.
   * @returns An fp32 tensor.
   */
  ones<const S extends Shape>(shape: S): Tensor<"f32", S> {
    return this.full(shape, 1);
  }

  /**
   * Makes a tensor filled with a value.
   *
   * @param shape Sizes of the axes.
   * @param value The value of every element.
   * @returns An fp32 tensor.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * assert((await read(device.full([2], 0.5))).join() === "0.5,0.5");
   * ```
   */
  full<const S extends Shape>(shape: S, value: number): Tensor<"f32", S> {
    return filledTensor(this.#memory, shape, value);
  }

  /**
   * Draws normally distributed numbers. Each call continues the stream of the device's seed.
   *
   * @param shape Sizes of the axes.
   * @param options Mean and standard deviation.
   * @returns An fp32 tensor.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, mean, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 7 });
   * const x = device.normal([100, 100], { mean: 3, deviation: 0.5 });
   * assert(Math.abs((await read(mean(x)))[0]! - 3) < 0.05);
   * ```
   */
  normal<const S extends Shape>(shape: S, options: NormalOptions = {}): Tensor<"f32", S> {
    return normalTensor(this.#memory, shape, options);
  }

  /**
   * Draws uniformly distributed numbers. Each call continues the stream of the device's seed.
   *
   * @param shape Sizes of the axes.
   * @param options Bounds.
   * @returns An fp32 tensor.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 7 });
   * const x = await read(device.uniform([100], { low: -1 }));
   * assert(x.every((value) => value >= -1 && value < 1));
   * ```
   */
  uniform<const S extends Shape>(shape: S, options: UniformOptions = {}): Tensor<"f32", S> {
    return uniformTensor(this.#memory, shape, options);
  }

  /**
   * Makes a trainable parameter with normally distributed values, for custom layers and routers. It
   * outlives every scope; the caller disposes of it.
   *
   * @param shape Sizes of the axes.
   * @param options Name, weight decay, mean (default 0) and standard deviation (default 0.02).
   * @returns An fp32 parameter.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { AdamW, add, Device, read, square, sum } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using bias = device.parameter([3], { name: "bias", mean: 1, deviation: 0 });
   * using optimizer = new AdamW(device, [bias], { lr: 0.1 });
   * using tape = device.record();
   * tape.backward(sum(square(add(device.ones([2, 3]), bias))));
   * optimizer.step();
   * assert((await read(bias)).every((value) => Math.abs(value - 0.9) < 1e-3));
   * ```
   */
  parameter<const S extends Shape>(shape: S, options: ParameterOptions = {}): Parameter<S> {
    return normalParameter(this.#memory, shape, options);
  }

  /**
   * Opens a scope; tensors made while it is innermost are freed when it closes.
   *
   * @returns The scope; bind it with `using`.
   */
  scope(): Scope {
    return this.#memory.openScope();
  }

  /**
   * Opens a scope that also records operations for `backward`.
   *
   * @returns The recording; bind it with `using`.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { Device, read, square, sum } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu" });
   * using tape = device.record();
   * const x = tape.watch(device.from([1, 2, 3], [3]));
   * tape.backward(sum(square(x)));
   * assert((await read(tape.gradient(x))).join() === "2,4,6");
   * ```
   */
  record(): Recording {
    return Tape.open(this.#memory);
  }

  /**
   * Opens a scope in which nothing is recorded, such as for evaluation inside a training step.
   *
   * @returns The scope; bind it with `using`.
   */
  noGradient(): Scope {
    return this.#memory.openPause();
  }

  /** Waits for all work on the device. */
  synchronize(): void {
    const { kernels: k } = this.#memory;
    k.check(k.symbols.remoe_synchronize(k.handle), "synchronize");
  }

  /**
   * Reads the device's memory counters.
   *
   * @returns Bytes in use, peak and held, and the number of blocks.
   */
  statistics(): DeviceStatistics {
    return this.#memory.kernels.statistics();
  }

  /** Resets the peak of {@linkcode Device.statistics} to the memory now in use. */
  resetPeak(): void {
    const { kernels: k } = this.#memory;
    k.check(k.symbols.remoe_memory_reset_peak(k.handle), "reset peak");
  }

  /** Returns cached memory to the system. Waits for all work. */
  trim(): void {
    const { kernels: k } = this.#memory;
    k.check(k.symbols.remoe_memory_trim(k.handle), "trim");
  }

  /**
   * Describes the device.
   *
   * @returns Backend, processor, instruction set, threads, library.
   */
  info(): DeviceInfo {
    const { kernels } = this.#memory;
    const { memory_bytes: memoryBytes, bf16 = "fp32", ...info } = kernels.info();
    return { ...info, bf16, memoryBytes, library: kernels.library.path };
  }

  /**
   * Lists all live tensors, including parameters and optimizer state.
   *
   * @returns The size of each, and where it was made if the device was opened with `debug`.
   */
  leaks(): LiveTensor[] {
    return this.#memory.live();
  }

  /** Closes the device and frees all its tensors. */
  close(): void {
    this.#memory.close();
  }

  /** Closes the device at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The memory of a device; not part of the public API. */
export function memoryOf(device: Device): DeviceMemory {
  if (!(device instanceof Device)) {
    throw new TypeError(
      `Cannot use ${shown(device)} as a device: open one with await Device.open()`,
    );
  }
  return memoryOfDevice(device);
}
