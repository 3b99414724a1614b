/** Times the kernel cases of the tests, so that what is timed is known to be correct. @module */

import { memoryOf } from "../../lib/autograd/device.ts";
import { DistributionCode, DTypeCode, type KernelContext } from "../../lib/ffi/mod.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import type { Device } from "../../mod.ts";
import {
  type Element,
  type HostArray,
  type HostArrays,
  inputsOf,
  type KernelCase,
} from "../../kernels/cases/case.ts";
import type { BenchCase, PreparedCase } from "./case.ts";

/**
 * How a buffer is filled: with normally distributed numbers drawn on the device, which takes no
 * host memory; from a host array; or by the forward kernel.
 */
export type Operand =
  | Drawn
  | { readonly kind: "host"; readonly array: HostArray }
  | { readonly kind: "forward"; readonly elements: number; readonly dtype: Real };

/** Normally distributed numbers. */
interface Drawn {
  readonly kind: "normal";
  readonly elements: number;
  readonly deviation: number;
  readonly dtype: Real;
}

/** Operands by the parameter names in the C header. */
export type Operands = Readonly<Record<string, Operand>>;

/** How to bench a kernel case. */
export interface KernelBenchOptions {
  /** The operation, which names a section of the table. */
  readonly group: string;
  /** The model that the shapes come from. */
  readonly model: string;
  /** The call, with its FLOPs and bytes. */
  readonly kernelCase: KernelCase;
  /** Its inputs; default those of the tests. */
  readonly operands?: () => Operands;
  /** The forward kernel that fills operands of kind `forward`. */
  readonly forward?: KernelCase;
  /** Whether it runs only with `--full`. */
  readonly full?: boolean;
}

/** Normally distributed numbers of mean 0. */
export function normal(elements: number, deviation = 1, dtype: Real = "f32"): Operand {
  return { kind: "normal", elements, deviation, dtype };
}

/** The contents of a host array. */
export function host(array: HostArray): Operand {
  return { kind: "host", array };
}

/** Numbers that the forward kernel writes. */
export function fromForward(elements: number, dtype: Real = "f32"): Operand {
  return { kind: "forward", elements, dtype };
}

/**
 * Makes a bench of a kernel case.
 *
 * @param options The case and its operands.
 * @returns The bench.
 */
export function kernelBench(options: KernelBenchOptions): BenchCase {
  const { group, model, kernelCase, full = false } = options;
  return {
    group,
    name: `${model} ${kernelCase.name}`,
    flops: kernelCase.flops,
    bytes: kernelCase.bytes,
    dtype: kernelCase.dtype ?? "f32",
    full,
    prepare: (device) => new PreparedKernel(device, options),
  };
}

/** Bytes per element. */
const BYTES: Readonly<Record<Element, number>> = { f32: 4, f64: 8, bf16: 2, i32: 4, u8: 1 };

/** A kernel's buffers on a device. */
class PreparedKernel implements PreparedCase {
  readonly #kernels: KernelContext;
  readonly #case: KernelCase;
  readonly #addresses = new Map<string, bigint>();

  constructor(device: Device, { kernelCase, operands, forward }: KernelBenchOptions) {
    this.#kernels = memoryOf(device).kernels;
    this.#case = kernelCase;
    try {
      const inputs = operands?.() ?? asOperands(inputsOf(kernelCase));
      for (const [name, operand] of Object.entries(inputs)) this.#place(device, name, operand);
      for (const [name, { dtype, shape }] of Object.entries(kernelCase.outputs)) {
        if (name in inputs || kernelCase.unwanted?.includes(name)) continue;
        this.#allocate(name, shape.reduce((product, size) => product * size, BYTES[dtype]));
      }
      kernelCase.prepare?.(this.#kernels, (name) => this.#address(name));
      forward?.call(this.#kernels, (name) => this.#address(name), 0);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  run(): void {
    this.#case.call(this.#kernels, (name) => this.#address(name), 0);
  }

  [Symbol.dispose](): void {
    this.#kernels.free([...this.#addresses.values()]);
    this.#addresses.clear();
  }

  /** 0 for unwanted outputs, including those that only the forward kernel has. */
  #address(name: string): bigint {
    return this.#addresses.get(name) ?? 0n;
  }

  #allocate(name: string, bytes: number): bigint {
    const address = this.#kernels.allocate(bytes);
    this.#addresses.set(name, address);
    return address;
  }

  #place(device: Device, name: string, operand: Operand): void {
    if (operand.kind === "host") {
      const { buffer, byteOffset, byteLength } = operand.array;
      const address = this.#allocate(name, byteLength);
      this.#kernels.writeBytes(address, new Uint8Array(buffer, byteOffset, byteLength));
      return;
    }
    const address = this.#allocate(name, BYTES[operand.dtype] * operand.elements);
    if (operand.kind !== "normal") return;
    if (operand.dtype === "f32") return this.#draw(device, address, operand);
    // Only fp32 can be drawn.
    const { elements, dtype } = operand;
    const { symbols, handle } = this.#kernels;
    const drawn = this.#kernels.allocate(BYTES.f32 * elements);
    try {
      this.#draw(device, drawn, operand);
      const codes = [DTypeCode[dtype], DTypeCode.f32] as const;
      const status = symbols.remoe_cast(
        handle,
        codes[0],
        address,
        codes[1],
        drawn,
        BigInt(elements),
      );
      this.#kernels.check(status, "cast");
    } finally {
      this.#kernels.free([drawn]);
    }
  }

  #draw(device: Device, address: bigint, { elements, deviation }: Drawn): void {
    const memory = memoryOf(device);
    const { kernels: k } = memory;
    const { seed, operation } = memory.nextDraw();
    const { normal } = DistributionCode;
    const count = BigInt(elements);
    k.check(
      k.symbols.remoe_random(k.handle, normal, address, count, 0, deviation, seed, operation, 0),
      "random",
    );
  }
}

function asOperands(inputs: HostArrays): Operands {
  return Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, host(array)]));
}
