/** Moving numbers between the host and a device. @module */

import { shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { type DType, DTYPE_BYTES, DTYPE_CODE, type HostArrays } from "./dtype.ts";
import { hostArray } from "./host_array.ts";
import { showShape } from "./shape_math.ts";
import { any, operands } from "./operands.ts";
import type { DeviceTensor, Tensor } from "./tensor.ts";

/** Sets every element. */
export function fill(tensor: DeviceTensor, value: number): void {
  const { kernels: k } = tensor.memory;
  const code = DTYPE_CODE[tensor.dtype];
  k.check(k.symbols.remoe_fill(k.handle, code, tensor.address, value, BigInt(tensor.size)), "fill");
}

/** target += scale * x, elementwise. */
export function accumulate(target: DeviceTensor, x: DeviceTensor, scale: number): void {
  const { kernels: k } = target.memory;
  const code = DTYPE_CODE[target.dtype];
  k.check(
    k.symbols.remoe_accumulate(
      k.handle,
      code,
      target.address,
      x.address,
      scale,
      BigInt(target.size),
    ),
    "accumulate",
  );
}

/** Device to device, between tensors of equal size and type. */
export function copyInto(target: DeviceTensor, source: DeviceTensor): void {
  const { kernels: k } = target.memory;
  const bytes = BigInt(target.size * DTYPE_BYTES[target.dtype]);
  k.check(k.symbols.remoe_copy(k.handle, target.address, source.address, bytes), "copy");
}

/** Host array to device; the array's type must be the tensor's. */
export function upload(tensor: DeviceTensor, values: ArrayBufferView<ArrayBuffer>): void {
  const expected = tensor.size * DTYPE_BYTES[tensor.dtype];
  if (values.byteLength !== expected) {
    throw new ShapeMismatchError(
      `Cannot write ${values.byteLength} bytes into a ${tensor.dtype} tensor of shape ` +
        `${showShape(tensor.shape)}: it holds ${expected} bytes`,
    );
  }
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  tensor.memory.kernels.writeBytes(tensor.address, bytes);
}

/** Device to host, waiting for the device. */
export function download<D extends DType>(tensor: DeviceTensor<D>): HostArrays[D] {
  const bytes = new Uint8Array(tensor.size * DTYPE_BYTES[tensor.dtype]);
  tensor.memory.kernels.readBytes(tensor.address, bytes);
  return hostArray(tensor.dtype, bytes) as HostArrays[D];
}

/**
 * Reads a tensor into host memory.
 *
 * @param tensor Any tensor.
 * @returns Its elements, row-major; bf16 comes widened to fp32.
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
 * Overwrites a tensor with host numbers.
 *
 * @param tensor Any tensor; bf16 rounds to nearest even.
 * @param values As many numbers as the tensor has elements, row-major.
 * @throws {ShapeMismatchError} If the count differs.
 * @throws {TypeError} If an element is no number.
 * @throws {RangeError} If a tensor of integers is given anything else.
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
  const list = listOf(values);
  if (list.length !== target.size) {
    throw new ShapeMismatchError(
      `Cannot write ${list.length} values into a tensor of shape ${showShape(target.shape)}: ` +
        `it holds ${target.size}`,
    );
  }
  requireElements(target.dtype, list);
  target.storage.writes++;
  upload(target, encode(target.dtype, list));
}

/** Typed arrays whose every element is a number that an int32 holds. */
const INTEGER_ARRAYS = [Int32Array, Int16Array, Uint16Array, Int8Array, Uint8Array];

/** Host values as something with a length. */
export function listOf(values: Iterable<number>): ArrayLike<number> & Iterable<number> {
  if (Array.isArray(values)) return values;
  if (ArrayBuffer.isView(values) && !(values instanceof DataView)) {
    return values as unknown as ArrayLike<number> & Iterable<number>;
  }
  if (typeof (values as Partial<Iterable<number>> | null)?.[Symbol.iterator] === "function") {
    return Array.from(values);
  }
  throw new TypeError(`Cannot write ${shown(values)} into a tensor: give an array of numbers`);
}

/** Refuses elements that the tensor would hold as something else: text, fractions among integers. */
function requireElements(dtype: DType, values: ArrayLike<number>): void {
  if (dtype === "i32") {
    if (INTEGER_ARRAYS.some((made) => values instanceof made)) return;
    for (let i = 0; i < values.length; i++) {
      if (typeof values[i] !== "number" || values[i] !== (values[i]! | 0)) {
        throw new RangeError(
          `Cannot write ${shown(values[i])} as element ${i} of a tensor of integers: it needs ` +
            `whole numbers from ${-(2 ** 31)} to ${2 ** 31 - 1}`,
        );
      }
    }
    return;
  }
  // The elements of a typed array are numbers, or bigints, which are as good as text.
  if (ArrayBuffer.isView(values) && typeof values[0] === "number") return;
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== "number") {
      throw new TypeError(
        `Cannot write ${shown(values[i])} as element ${i} of a tensor: it needs numbers`,
      );
    }
  }
}

/** Numbers in a tensor's element type. */
function encode(dtype: DType, values: ArrayLike<number>): ArrayBufferView<ArrayBuffer> {
  switch (dtype) {
    case "f32":
      return Float32Array.from(values);
    case "i32":
      return Int32Array.from(values);
    case "f64":
      return Float64Array.from(values);
    case "bf16":
      return Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), roundToBf16);
  }
}

/** Upper half of an fp32's bits, rounded to nearest even; NaN stays NaN. */
function roundToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
