/** A call whose traffic is counted. @module */

import { type HostArray, inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import type { Element } from "../../kernels/cases/case.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";

/** A buffer: its contents, or its size in bytes if it may hold zeros. */
export type Content = number | HostArray;

/** What bounds a call on an H200 if it moves and computes no more than it must. */
export type Bound = "memory" | "compute";

/** A call, and the least that it can ask of a GPU. */
export interface Operation {
  /** The section of the table. */
  readonly group: string;
  /** What it does, and its sizes. */
  readonly name: string;
  /** What bounds it. */
  readonly bound: Bound;
  /** Bytes of device memory that it must move: every tensor once. */
  readonly minimum: number;
  /** Floating-point operations that the formula counts, if tensor cores do them. */
  readonly operations?: number;
  /** The row of times of the last log of a GPU that it is, in the log's words. */
  readonly timed?: string;
  /** Compute capability times ten of the device; an H200 by default. */
  readonly capability?: 80 | 90;
  /** Makes the buffers and returns the call. */
  prepare(kernels: KernelContext): Prepared;
}

/** Buffers on a device and the call on them. */
export interface Prepared extends Disposable {
  /** Makes the call. */
  call(): void;
}

/** How a kernel case becomes an {@linkcode Operation}. */
export interface CaseOptions {
  readonly group: string;
  readonly name: string;
  readonly kernelCase: KernelCase;
  /** Its inputs; those of the tests by default. */
  readonly inputs?: Readonly<Record<string, Content>>;
  readonly bound?: Bound;
  /** By default what the case says. */
  readonly minimum?: number;
  readonly operations?: number;
  readonly timed?: string;
  readonly capability?: 80 | 90;
  /** The bit mask of gradients that are added to. */
  readonly accumulate?: number;
}

const BYTES: Readonly<Record<Element, number>> = { f32: 4, f64: 8, bf16: 2, i32: 4, u8: 1 };
const CHUNK = new Uint8Array(1 << 20);

/**
 * Makes an operation of a kernel case.
 *
 * @param options The case and its bounds.
 * @returns The operation.
 */
export function operation(options: CaseOptions): Operation {
  const { kernelCase, accumulate = 0, inputs, ...rest } = options;
  return {
    bound: "memory",
    minimum: kernelCase.bytes,
    ...rest,
    prepare: (kernels) => new Placed(kernels, kernelCase, inputs, accumulate),
  };
}

/** A case's buffers. */
class Placed implements Prepared {
  readonly #kernels: KernelContext;
  readonly #case: KernelCase;
  readonly #accumulate: number;
  readonly #addresses = new Map<string, bigint>();

  constructor(
    kernels: KernelContext,
    kernelCase: KernelCase,
    inputs: Readonly<Record<string, Content>> | undefined,
    accumulate: number,
  ) {
    this.#kernels = kernels;
    this.#case = kernelCase;
    this.#accumulate = accumulate;
    const given = inputs ?? inputsOf(kernelCase);
    for (const [name, content] of Object.entries(given)) this.#place(name, content);
    for (const [name, { dtype, shape }] of Object.entries(kernelCase.outputs)) {
      if (name in given || kernelCase.unwanted?.includes(name)) continue;
      this.#place(name, shape.reduce((product, size) => product * size, BYTES[dtype]));
    }
    kernelCase.prepare?.(kernels, (name) => this.#address(name));
  }

  call(): void {
    this.#case.call(this.#kernels, (name) => this.#address(name), this.#accumulate);
  }

  [Symbol.dispose](): void {
    this.#kernels.free([...this.#addresses.values()]);
  }

  #address(name: string): bigint {
    return this.#addresses.get(name) ?? 0n;
  }

  #place(name: string, content: Content): void {
    const bytes = typeof content === "number" ? content : content.byteLength;
    const address = this.#kernels.allocate(bytes);
    this.#addresses.set(name, address);
    if (typeof content !== "number") {
      const { buffer, byteOffset, byteLength } = content;
      this.#kernels.writeBytes(address, new Uint8Array(buffer, byteOffset, byteLength));
      return;
    }
    for (let done = 0; done < bytes; done += CHUNK.length) {
      const part = CHUNK.subarray(0, Math.min(CHUNK.length, bytes - done));
      this.#kernels.writeBytes(address + BigInt(done), part);
    }
  }
}

/** Bytes of fp32 numbers. */
export function f32(...shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 4);
}

/** Bytes of bf16 numbers. */
export function bf16(...shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 2);
}
