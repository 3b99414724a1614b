/** Moving numbers between the host and a device. @module */

import { ownList, shown } from "../arguments.ts";
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
  const encoded = encode(target.dtype, list);
  target.storage.writes++;
  upload(target, encoded);
}

/** Host numbers of the library's own. */
type HostNumbers = NumberArray | readonly number[];

type NumberArray =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Typed arrays that are copied as they are; others are read number by number. */
const NUMBER_ARRAYS = [
  ...[Float32Array, Int32Array, Float64Array, Int16Array, Uint16Array, Int8Array, Uint8Array],
] as const;

/** Typed arrays whose every element is a number that an int32 holds. */
const INTEGER_ARRAYS = [Int32Array, Int16Array, Uint16Array, Int8Array, Uint8Array];

/**
 * Host values as they are now, read once: what is checked is what is written, whatever an iterator,
 * a getter or a thread of the caller's makes of them.
 */
export function listOf(values: Iterable<number>): HostNumbers {
  if (Array.isArray(values)) return ownList<number>(values);
  const kind = NUMBER_ARRAYS.find((made) => values instanceof made);
  // Made of another typed array, one takes its memory and asks neither its iterator nor its length.
  if (kind !== undefined && ArrayBuffer.isView(values)) {
    return new kind(values as unknown as NumberArray);
  }
  if (typeof (values as Partial<Iterable<number>> | null)?.[Symbol.iterator] === "function") {
    return Array.from(values);
  }
  throw new TypeError(`Cannot write ${shown(values)} into a tensor: give an array of numbers`);
}

/** Numbers in a tensor's element type; refuses what it would hold as something else. */
function encode(dtype: DType, values: HostNumbers): ArrayBufferView<ArrayBuffer> {
  switch (dtype) {
    case "f32":
      return values instanceof Float32Array ? values : new Float32Array(numbersOf(values));
    case "i32":
      return values instanceof Int32Array ? values : new Int32Array(integersOf(values));
    case "f64":
      return new Float64Array(numbersOf(values));
    case "bf16": {
      const bits = new Uint32Array(new Float32Array(numbersOf(values)).buffer);
      return Uint16Array.from(bits, roundToBf16);
    }
  }
}

function numbersOf(values: HostNumbers): HostNumbers {
  if (ArrayBuffer.isView(values)) return values;
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== "number") {
      throw new TypeError(
        `Cannot write ${shown(values[i])} as element ${i} of a tensor: it needs numbers`,
      );
    }
  }
  return values;
}

function integersOf(values: HostNumbers): HostNumbers {
  if (INTEGER_ARRAYS.some((made) => values instanceof made)) return values;
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== "number" || values[i] !== (values[i]! | 0)) {
      throw new RangeError(
        `Cannot write ${shown(values[i])} as element ${i} of a tensor of integers: it needs ` +
          `whole numbers from ${-(2 ** 31)} to ${2 ** 31 - 1}`,
      );
    }
  }
  return values;
}

/** Upper half of an fp32's bits, rounded to nearest even; NaN stays NaN. */
function roundToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
