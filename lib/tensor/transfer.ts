/** Transfers between host and device. @module */

import { shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { type DType, DTYPE_BYTES, DTYPE_CODE, type HostArrays } from "./dtype.ts";
import { hostArray } from "./host_array.ts";
import { showShape } from "./shape_math.ts";
import { any, operands } from "./operands.ts";
import type { DeviceTensor, Tensor } from "./tensor.ts";

// Whatever writes into an existing tensor counts the write: a parameter's bf16 copy follows it by
// that count.

/** Sets every element to a value. */
export function fill(tensor: DeviceTensor, value: number): void {
  const { kernels: k } = tensor.memory;
  tensor.storage.writes++;
  const code = DTYPE_CODE[tensor.dtype];
  k.check(k.symbols.remoe_fill(k.handle, code, tensor.address, value, BigInt(tensor.size)), "fill");
}

/** target += scale * x, elementwise; the types may differ, and a bf16 target is rounded once. */
export function accumulate(target: DeviceTensor, x: DeviceTensor, scale: number): void {
  const { kernels: k } = target.memory;
  target.storage.writes++;
  k.check(
    k.symbols.remoe_accumulate(
      k.handle,
      DTYPE_CODE[target.dtype],
      target.address,
      DTYPE_CODE[x.dtype],
      x.address,
      scale,
      BigInt(target.size),
    ),
    "accumulate",
  );
}

/** Copies between device tensors of equal size, converting where their types differ. */
export function copyInto(target: DeviceTensor, source: DeviceTensor): void {
  if (target.dtype !== source.dtype) return castInto(target, source);
  const { kernels: k } = target.memory;
  target.storage.writes++;
  const bytes = BigInt(target.size * DTYPE_BYTES[target.dtype]);
  k.check(k.symbols.remoe_copy(k.handle, target.address, source.address, bytes), "copy");
}

/** Converts into existing memory: bf16 rounds to nearest even, i32 truncates. */
export function castInto(target: DeviceTensor, source: DeviceTensor): void {
  const { kernels: k } = source.memory;
  target.storage.writes++;
  k.check(
    k.symbols.remoe_cast(
      k.handle,
      DTYPE_CODE[target.dtype],
      target.address,
      DTYPE_CODE[source.dtype],
      source.address,
      BigInt(source.size),
    ),
    "cast",
  );
}

/** Copies a host array, already in the tensor's element type, to the device. */
export function upload(tensor: DeviceTensor, values: ArrayBufferView<ArrayBuffer>): void {
  const expected = tensor.size * DTYPE_BYTES[tensor.dtype];
  if (values.byteLength !== expected) {
    throw new ShapeMismatchError(
      `Cannot write ${values.byteLength} bytes into a ${tensor.dtype} tensor of shape ` +
        `${showShape(tensor.shape)}: it holds ${expected} bytes`,
    );
  }
  uploadBytes(tensor, 0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** Copies bytes into a tensor from byte `offset` on; the caller has checked that they fit. */
export function uploadBytes(
  tensor: DeviceTensor,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  tensor.storage.writes++;
  tensor.memory.kernels.writeBytes(tensor.address + BigInt(offset), bytes);
}

/** Copies to the host; waits for the device. */
export function download<D extends DType>(tensor: DeviceTensor<D>): HostArrays[D] {
  const bytes = new Uint8Array(tensor.size * DTYPE_BYTES[tensor.dtype]);
  tensor.memory.kernels.readBytes(tensor.address, bytes);
  return hostArray(tensor.dtype, bytes) as HostArrays[D];
}

/**
 * Reads a tensor into host memory.
 *
 * @param tensor Any tensor.
 * @returns Its elements, row-major; bf16 is widened to fp32.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 2, 3, 4], [2, 2]);
 * assert((await read(x)).join() === "1,2,3,4");
 * ```
 */
export function read<D extends DType>(tensor: Tensor<D>): Promise<HostArrays[D]> {
  const [source] = operands("read", any(tensor));
  return Promise.resolve(download(source as DeviceTensor<D>));
}

/**
 * Reads a tensor into host memory at once, like {@linkcode read}. The program waits for the device,
 * so this is for small tensors, and for functions that cannot wait, such as the `afterStep()` of a
 * router that moves its buffers.
 *
 * @param tensor Any tensor.
 * @returns Its elements, row-major; bf16 is widened to fp32.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, readSync, write } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const bias = device.zeros([2]);
 * for (let step = 1; step <= 3; step++) write(bias, readSync(bias).map((value) => value + step));
 * assertEquals([...readSync(bias)], [6, 6]);
 * ```
 */
export function readSync<D extends DType>(tensor: Tensor<D>): HostArrays[D] {
  const [source] = operands("read", any(tensor));
  return download(source as DeviceTensor<D>);
}

/**
 * Overwrites a tensor with numbers from the host.
 *
 * @param tensor Any tensor; bf16 rounds to nearest even.
 * @param values As many numbers as the tensor has elements, row-major.
 * @throws {ShapeMismatchError} If the count differs.
 * @throws {TypeError} If an element is not a number.
 * @throws {RangeError} If an element for an i32 tensor is not an int32.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, write } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.zeros([3]);
 * write(x, [1, 2, 3]);
 * assert((await read(x))[2] === 3);
 * ```
 */
export function write(tensor: Tensor, values: Iterable<number>): void {
  const [target] = operands("write into", any(tensor));
  const encoded = encode(target.dtype, numbersOf(target.dtype, values));
  if (encoded.length !== target.size) {
    throw new ShapeMismatchError(
      `Cannot write ${encoded.length} values into a tensor of shape ${showShape(target.shape)}: ` +
        `it holds ${target.size}`,
    );
  }
  upload(target, encoded);
}

/** Typed arrays that are converted directly; anything else is read number by number. */
const NUMBER_ARRAYS = [
  ...[Float32Array, Int32Array, Float64Array, Int16Array, Uint16Array, Int8Array, Uint8Array],
] as const;

/** Typed arrays whose elements all fit in an int32. */
const INTEGER_ARRAYS = [Int32Array, Int16Array, Uint16Array, Int8Array, Uint8Array] as const;

/** A private copy of host numbers. */
type Numbers = InstanceType<(typeof NUMBER_ARRAYS)[number]>;

/**
 * Snapshots host values, reading each once, so that the values checked are the values written,
 * whatever the caller's iterator, getters or other threads do.
 *
 * @throws {TypeError} If a value is not a number.
 * @throws {RangeError} If a value for an i32 tensor is not an int32.
 */
export function numbersOf(dtype: DType, values: Iterable<number>): Numbers {
  const kinds = dtype === "i32" ? INTEGER_ARRAYS : NUMBER_ARRAYS;
  const kind = kinds.find((made) => values instanceof made);
  // Constructed from a typed array, a new one reads its memory, not its iterator or length.
  if (kind !== undefined && ArrayBuffer.isView(values)) return new kind(values as never);
  if (Array.isArray(values)) return copied(dtype, values);
  if (typeof (values as Partial<Iterable<number>> | null)?.[Symbol.iterator] === "function") {
    return copied(dtype, Array.from(values));
  }
  throw new TypeError(`Cannot write ${shown(values)} into a tensor: give an array of numbers`);
}

/** Copies a list; throws for a value that the element type would change silently. */
function copied(dtype: DType, values: readonly number[]): Numbers {
  const isInteger = dtype === "i32";
  const own = isInteger
    ? new Int32Array(values.length)
    : dtype === "f64"
    ? new Float64Array(values.length)
    : new Float32Array(values.length);
  for (let i = 0; i < own.length; i++) {
    const value = values[i]!;
    if (typeof value !== "number" || (isInteger && value !== (value | 0))) {
      throw wrongElement(isInteger, value, i);
    }
    own[i] = value;
  }
  return own;
}

function wrongElement(isInteger: boolean, value: unknown, index: number): Error {
  const what = `Cannot write ${shown(value)} as element ${index} of a tensor`;
  return isInteger
    ? new RangeError(
      `${what} of integers: it needs whole numbers from ${-(2 ** 31)} to ${2 ** 31 - 1}`,
    )
    : new TypeError(`${what}: it needs numbers`);
}

/** Converts numbers to a tensor's element type. */
function encode(dtype: DType, own: Numbers): ArrayBufferView<ArrayBuffer> & ArrayLike<number> {
  switch (dtype) {
    case "f32":
      return own instanceof Float32Array ? own : new Float32Array(own);
    case "i32":
      return own instanceof Int32Array ? own : new Int32Array(own);
    case "f64":
      return own instanceof Float64Array ? own : new Float64Array(own);
    case "bf16":
      return Uint16Array.from(new Uint32Array(new Float32Array(own).buffer), roundToBf16);
  }
}

/** The upper half of an fp32's bits, rounded to nearest even; NaN stays NaN. */
function roundToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
