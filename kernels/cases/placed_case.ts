import type { KernelContext } from "../../lib/ffi/mod.ts";
import { type Element, type HostArray, type HostArrays, type KernelCase, widened } from "./case.ts";

/** Bytes before and after each buffer; a multiple of 64 keeps the contract's alignment. */
const GUARD_BYTES = 64;
const GUARD = 0xa5;
/**
 * Fills outputs before a call: NaN as a float, -1 as an integer, so that unwritten elements show.
 */
const POISON = 0xff;

/** How {@linkcode PlacedCase} lays out a case's outputs. */
export interface PlaceOptions {
  /** Outputs whose address is passed as 0. */
  readonly unwanted?: readonly string[];
  /** Contents of outputs before the call; poison if absent. */
  readonly prefill?: HostArrays;
}

interface Buffer {
  readonly base: bigint;
  readonly content: Uint8Array<ArrayBuffer>;
}

/** A case whose buffers are on a device, ready to call: once in a test, repeatedly in a bench. */
export class PlacedCase implements Disposable {
  readonly #kernels: KernelContext;
  readonly #case: KernelCase;
  readonly #inputs: HostArrays;
  readonly #buffers = new Map<string, Buffer>();
  readonly #unwanted: readonly string[];

  /**
   * Allocates every buffer of a case and uploads its inputs.
   *
   * @param kernels The device.
   * @param kernelCase The case.
   * @param inputs Its inputs.
   * @param options Outputs to leave out, and the initial contents of the others.
   */
  constructor(
    kernels: KernelContext,
    kernelCase: KernelCase,
    inputs: HostArrays,
    { unwanted = [], prefill = {} }: PlaceOptions = {},
  ) {
    this.#kernels = kernels;
    this.#case = kernelCase;
    this.#inputs = inputs;
    this.#unwanted = [...unwanted, ...kernelCase.unwanted ?? []];
    try {
      for (const [name, { dtype, shape }] of Object.entries(kernelCase.outputs)) {
        if (this.#unwanted.includes(name) || name in inputs) continue;
        this.#place(name, prefill[name] ?? poisoned(dtype, shape));
      }
      for (const [name, array] of Object.entries(inputs)) this.#place(name, array);
      kernelCase.prepare?.(kernels, (name) => this.address(name));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Returns the address of a buffer.
   *
   * @param name An input or output of the case.
   * @returns The address, or 0 for an output that is not wanted.
   */
  address(name: string): bigint {
    if (this.#unwanted.includes(name)) return 0n;
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) {
      throw new RangeError(`Cannot address "${name}": ${this.#case.name} has no such buffer`);
    }
    return buffer.base + BigInt(GUARD_BYTES);
  }

  /**
   * Calls the kernel on the buffers in their current state.
   *
   * @param accumulate The bit mask for gradient kernels.
   */
  call(accumulate = 0): void {
    this.#case.call(this.#kernels, (name) => this.address(name), accumulate);
  }

  /**
   * Reads the outputs and checks that nothing else was written.
   *
   * @returns The wanted outputs.
   * @throws {Error} If the kernel wrote outside a buffer, or to an input.
   */
  read(): Record<string, HostArray> {
    const results: Record<string, HostArray> = {};
    for (const [name, { base, content }] of this.#buffers) {
      const bytes = new Uint8Array(content.length);
      this.#kernels.readBytes(base, bytes);
      this.#checkGuards(name, bytes);
      const output = this.#case.outputs[name];
      const inner = bytes.slice(GUARD_BYTES, bytes.length - GUARD_BYTES);
      if (output !== undefined) results[name] = viewed(inner, output.dtype);
      else if (this.#case.prepare === undefined) this.#checkUnchanged(name, inner);
    }
    return results;
  }

  /** Frees the buffers. */
  [Symbol.dispose](): void {
    this.#kernels.free([...this.#buffers.values()].map(({ base }) => base));
    this.#buffers.clear();
  }

  #place(name: string, array: HostArray): void {
    const content = new Uint8Array(array.byteLength + 2 * GUARD_BYTES).fill(GUARD);
    content.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), GUARD_BYTES);
    const base = this.#kernels.allocate(content.length);
    this.#buffers.set(name, { base, content });
    this.#kernels.writeBytes(base, content);
  }

  #checkGuards(name: string, bytes: Uint8Array): void {
    const before = bytes.subarray(0, GUARD_BYTES).findLastIndex((byte) => byte !== GUARD);
    const after = bytes.subarray(bytes.length - GUARD_BYTES).findIndex((byte) => byte !== GUARD);
    if (before < 0 && after < 0) return;
    const place = before < 0
      ? `${after} bytes past its end`
      : `${GUARD_BYTES - before} bytes before its start`;
    throw new Error(`${this.#case.name} wrote outside "${name}", ${place}`);
  }

  #checkUnchanged(name: string, bytes: Uint8Array): void {
    const before = this.#inputs[name]!;
    const expected = new Uint8Array(before.buffer, before.byteOffset, before.byteLength);
    // A loop, since one callback per byte takes longer than most kernels.
    for (let i = 0; i < expected.length; i++) {
      if (expected[i] === bytes[i]) continue;
      const element = Math.floor(i / before.BYTES_PER_ELEMENT);
      throw new Error(`${this.#case.name} wrote to its input "${name}", at element ${element}`);
    }
  }
}

/**
 * Places a case, calls it once and reads its outputs.
 *
 * @param kernels The device.
 * @param kernelCase The case.
 * @param inputs Its inputs.
 * @param options Outputs to leave out, the initial contents of the others, and the bit mask.
 * @returns The wanted outputs.
 */
export function runCase(
  kernels: KernelContext,
  kernelCase: KernelCase,
  inputs: HostArrays,
  options: PlaceOptions & { readonly accumulate?: number } = {},
): Record<string, HostArray> {
  using placed = new PlacedCase(kernels, kernelCase, inputs, options);
  placed.call(options.accumulate);
  return placed.read();
}

/**
 * Extracts the part of a case's outputs that the contract defines, as numbers.
 *
 * @param kernelCase The case.
 * @param outputs The outputs read back.
 * @param inputs Its inputs.
 * @returns Numbers by output.
 */
export function definedOutputs(
  kernelCase: KernelCase,
  outputs: Readonly<Record<string, HostArray>>,
  inputs: HostArrays,
): Readonly<Record<string, ArrayLike<number>>> {
  const numbers: Record<string, ArrayLike<number>> = {};
  for (const [name, array] of Object.entries(outputs)) numbers[name] = widened(array);
  return kernelCase.defined?.(numbers, inputs) ?? numbers;
}

const BYTES: Readonly<Record<Element, number>> = { f32: 4, f64: 8, bf16: 2, i32: 4, u8: 1 };

function poisoned(dtype: Element, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(shape.reduce((product, size) => product * size, BYTES[dtype])).fill(POISON);
}

function viewed(bytes: Uint8Array<ArrayBuffer>, dtype: Element): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes.buffer);
    case "f64":
      return new Float64Array(bytes.buffer);
    case "bf16":
      return new Uint16Array(bytes.buffer);
    case "i32":
      return new Int32Array(bytes.buffer);
    case "u8":
      return bytes;
  }
}
