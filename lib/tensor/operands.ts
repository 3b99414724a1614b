/** Checks the tensors that callers pass before their addresses reach a kernel. @module */

import { shown } from "../arguments.ts";
import { DeviceError } from "../errors.ts";
import { Status } from "../ffi/codes.ts";
import type { DeviceMemory } from "./device_memory.ts";
import { type DType, DTYPE_BYTES, FLOATS, type Real } from "./dtype.ts";
import { showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";
import { DeviceTensor, type Tensor } from "./tensor.ts";

/** An operand whose type need not be fp32. */
class Typed<T extends Tensor> {
  constructor(readonly tensor: T, readonly dtypes: readonly DType[]) {}
}

const INTEGERS: readonly DType[] = ["i32"];
const ALL = Object.keys(DTYPE_BYTES) as readonly DType[];

/** Marks an operand that may be of any of these element types. */
export function typed<T extends Tensor>(tensor: T, dtypes: readonly DType[]): Typed<T> {
  return new Typed(tensor, dtypes);
}

/** Marks an operand that may be f32 or bf16. */
export function real<T extends Tensor<Real>>(tensor: T): Typed<T> {
  return new Typed(tensor, FLOATS);
}

/** Marks an operand that must be i32. */
export function i32<T extends Tensor>(tensor: T): Typed<T> {
  return new Typed(tensor, INTEGERS);
}

/** Marks an operand of any element type, for operations that do not depend on it. */
export function any<T extends Tensor>(tensor: T): Typed<T> {
  return new Typed(tensor, ALL);
}

/** An operand: an fp32 tensor, or one marked as another type. */
export type Operand = Tensor<"f32"> | Typed<Tensor>;

/** The internal tensor behind an operand. */
type Inner<T> = T extends Typed<infer U> ? Inner<U>
  : T extends Tensor<infer D, infer S> ? DeviceTensor<D, S>
  : never;

/**
 * Checks an operation's tensors and unwraps them. TypeScript's types do not protect against callers
 * in JavaScript, so before anything is allocated each must prove to be a tensor, of an element type
 * that the kernel reads, alive, and on the device of the first.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param tensors fp32 unless marked by {@linkcode real}, {@linkcode i32}, {@linkcode typed} or
 * {@linkcode any}.
 * @returns The same tensors, in order.
 * @throws {TypeError} If one is not a tensor, or of an unsupported element type.
 * @throws {ReferenceError} If the memory of one was freed.
 * @throws {DeviceError} If two live on different devices: addresses are valid only on their own.
 */
export function operands<const T extends readonly Operand[]>(
  operation: string,
  ...tensors: T
): { [I in keyof T]: Inner<T[I]> } {
  const inner = new Array<DeviceTensor>(tensors.length);
  for (let i = 0; i < tensors.length; i++) {
    const given = tensors[i];
    const tensor: unknown = given instanceof Typed ? given.tensor : given;
    if (!DeviceTensor.isOne(tensor)) throw noTensor(operation, tensor, i, tensors.length);
    const fits = given instanceof Typed
      ? given.dtypes.includes(tensor.dtype)
      : tensor.dtype === "f32";
    if (!fits) throw wrongType(operation, tensor, given!, i, tensors.length);
    tensor.requireAlive(operation);
    inner[i] = tensor;
    if (tensor.memory !== inner[0]!.memory) throw strangers(operation, inner[0]!, tensor);
  }
  return inner as { [I in keyof T]: Inner<T[I]> };
}

/**
 * Throws unless two operands have one element type: a kernel that takes a single type for both would
 * misread one of them.
 *
 * @param operation The action, worded to follow "Cannot".
 */
export function requireOneType(operation: string, a: DeviceTensor, b: DeviceTensor): void {
  if (a.dtype === b.dtype) return;
  throw new TypeError(`Cannot ${operation} ${a.dtype} and ${b.dtype}: cast one of them first`);
}

/** Checks a single operand that may be f32 or bf16, as {@linkcode operands} does. */
export function realOperand<D extends Real, S extends Shape>(
  operation: string,
  tensor: Tensor<D, S>,
): DeviceTensor<D, S> {
  return operands(operation, real(tensor))[0] as DeviceTensor<D, S>;
}

/** Says which operand is at fault, if there are several. */
function place(index: number, count: number): string {
  return count === 1 ? "" : ` as operand ${index + 1} of ${count}`;
}

function noTensor(operation: string, value: unknown, index: number, count: number): TypeError {
  return new TypeError(
    `Cannot ${operation} ${shown(value)}${
      place(index, count)
    }: it was not made by a Device, as with ` +
      `device.from(values, shape)`,
  );
}

function wrongType(
  operation: string,
  { dtype, shape }: DeviceTensor,
  given: Operand,
  index: number,
  count: number,
): TypeError {
  const [first = "f32", ...others] = given instanceof Typed ? given.dtypes : [];
  return new TypeError(
    `Cannot ${operation} ${dtype === "bf16" ? "a" : "an"} ${dtype} tensor of shape ${
      showShape(shape)
    }${place(index, count)}: ` +
      `it takes ${[first, ...others].join(" or ")}; cast(x, "${first}") first`,
  );
}

function strangers(operation: string, a: DeviceTensor, b: DeviceTensor): DeviceError {
  return new DeviceError(
    `Cannot ${operation} ${showShape(a.shape)} and ${
      showShape(b.shape)
    }: they live on two devices; ` +
      `make both on one, or copy one with device.from(await read(x), x.shape)`,
    { operation, status: Status.invalidArgument },
  );
}

/** Throws unless a tensor, such as a parameter or a step's state, lives on `memory`'s device. */
export function requireDevice(operation: string, memory: DeviceMemory, of: DeviceTensor): void {
  if (of.memory === memory) return;
  throw new DeviceError(
    `Cannot ${operation} ${of.described()}: it lives on another device; ` +
      `make both on one`,
    { operation, status: Status.invalidArgument },
  );
}

/**
 * Marks a tensor as overwritten in place, and throws if its owner still needs the old values. A
 * tape refuses to differentiate an operation whose saved tensors were overwritten.
 */
export function overwritten<T extends DeviceTensor>(operation: string, tensor: T): T {
  if (tensor.storage.isLeaf) {
    throw new Error(
      `Cannot ${operation} in place: the tensor of shape ${showShape(tensor.shape)} is a ` +
        `parameter or watched; pass a copy, scale(x, 1)`,
    );
  }
  tensor.storage.writes++;
  return tensor;
}

/** Unwraps a tensor that the library itself made, of any type. */
export function unwrapped<D extends DType, S extends Shape>(
  tensor: Tensor<D, S>,
): DeviceTensor<D, S> {
  return operands("use", any(tensor))[0] as DeviceTensor<D, S>;
}
