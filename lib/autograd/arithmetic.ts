/** Broadcasting arithmetic on two tensors, with derivatives. @module */

import { BinaryCode } from "../ffi/codes.ts";
import { type DType, DTYPE_CODE, FLOATS } from "../tensor/dtype.ts";
import { operands, requireOneType, typed } from "../tensor/operands.ts";
import { type Gradients, recordNode } from "../tensor/recorder.ts";
import { binaryLayout, broadcastShape, sameShape } from "../tensor/shape_math.ts";
import type { Broadcast, Check, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { contribute } from "./contribute.ts";
import { unaryInto } from "./unary.ts";

/** A tensor of a computed shape; `never` if the shapes do not fit. */
export type TensorOf<D extends DType, R> = R extends Shape ? Tensor<D, R> : never;

type BinaryName = keyof typeof BinaryCode;

const NUMBERS: readonly DType[] = [...FLOATS, "i32"];

/** out = a (op) b, all of one type. */
export function binaryInto(
  name: BinaryName,
  out: DeviceTensor,
  a: DeviceTensor,
  b: DeviceTensor,
): void {
  requireOneType(name, a, b);
  requireOneType(name, a, out);
  const { kernels: k } = out.memory;
  const layout = binaryLayout(out.shape, a.shape, b.shape);
  const code = DTYPE_CODE[a.dtype];
  k.check(
    k.symbols.remoe_binary(
      k.handle,
      BinaryCode[name],
      code,
      out.address,
      a.address,
      b.address,
      layout,
    ),
    name,
  );
}

type BinaryBackward = (
  gradients: Gradients,
  dy: DeviceTensor,
  a: DeviceTensor,
  b: DeviceTensor,
  out: DeviceTensor,
) => void;

function binary(
  name: BinaryName,
  left: Tensor,
  right: Tensor,
  saved: (a: DeviceTensor, b: DeviceTensor) => DeviceTensor[],
  backward: BinaryBackward,
): DeviceTensor {
  const dtypes = name === "divide" ? FLOATS : NUMBERS;
  const [a, b] = operands(name, typed(left, dtypes), typed(right, dtypes));
  requireOneType(name, a, b);
  const out = a.memory.allocate(a.dtype, broadcastShape(name, a.shape, b.shape));
  binaryInto(name, out, a, b);
  recordNode({
    operation: name,
    inputs: [a, b],
    outputs: [out],
    saved: saved(a, b),
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy !== null) backward(gradients, dy, a, b, out);
    },
  });
  return out;
}

/** dx = scale * dy. */
function scaled(gradients: Gradients, x: DeviceTensor, dy: DeviceTensor, scale: number): void {
  contribute(gradients, x, dy.shape, (out) => unaryInto("scale", out, dy, scale));
}

/** dx = dy, summed over the axes along which x was broadcast. */
function passedOn(gradients: Gradients, x: DeviceTensor, dy: DeviceTensor, out: DeviceTensor) {
  if (sameShape(x.shape, out.shape)) return gradients.share(out, x);
  scaled(gradients, x, dy, 1);
}

/**
 * Sum `a + b`, with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The sum, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { add, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = add(device.from([1, 2, 3, 4], [2, 2]), device.from([10, 20], [2]));
 * assert((await read(y)).join() === "11,22,13,24");
 * ```
 */
export function add<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
/**
 * Adds a row to each row of a matrix; sizes may be type parameters, as in a layer.
 *
 * @param a Matrix `[T, N]`.
 * @param b Row `[N]`, of the same type.
 * @returns The sum, `[T, N]`.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function add<D extends DType, T extends number, N extends number>(
  a: Tensor<D, readonly [T, N]>,
  b: Tensor<NoInfer<D>, readonly [NoInfer<N>]>,
): Tensor<D, readonly [T, N]>;
/**
 * Elementwise sum with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The sum, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function add<D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Check<Broadcast<A, B>>,
): TensorOf<D, Broadcast<A, B>>;
export function add(a: Tensor, b: Tensor): Tensor {
  return binary("add", a, b, () => [], (gradients, dy, x, y, out) => {
    passedOn(gradients, x, dy, out);
    passedOn(gradients, y, dy, out);
  });
}

/**
 * Difference `a - b`, with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The difference, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, subtract } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = subtract(device.from([3, 4], [2]), device.from([1], [1]));
 * assert((await read(y)).join() === "2,3");
 * ```
 */
export function subtract<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
/**
 * Elementwise difference with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The difference, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function subtract<D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Check<Broadcast<A, B>>,
): TensorOf<D, Broadcast<A, B>>;
export function subtract(a: Tensor, b: Tensor): Tensor {
  return binary("subtract", a, b, () => [], (gradients, dy, x, y, out) => {
    passedOn(gradients, x, dy, out);
    scaled(gradients, y, dy, -1);
  });
}

/**
 * Elementwise product `a · b`, with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The product, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, multiply, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = multiply(device.from([3, 4], [2, 1]), device.from([1, 2], [2]));
 * assert((await read(y)).join() === "3,6,4,8");
 * ```
 */
export function multiply<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
/**
 * Multiplies each row of a matrix by a row; sizes may be type parameters, as in a layer.
 *
 * @param a Matrix `[T, N]`.
 * @param b Row `[N]`, of the same type.
 * @returns The product, `[T, N]`.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function multiply<D extends DType, T extends number, N extends number>(
  a: Tensor<D, readonly [T, N]>,
  b: Tensor<NoInfer<D>, readonly [NoInfer<N>]>,
): Tensor<D, readonly [T, N]>;
/**
 * Elementwise product with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The product, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function multiply<D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Check<Broadcast<A, B>>,
): TensorOf<D, Broadcast<A, B>>;
export function multiply(a: Tensor, b: Tensor): Tensor {
  return binary("multiply", a, b, (x, y) => [x, y], (gradients, dy, x, y) => {
    contribute(gradients, x, dy.shape, (out) => binaryInto("multiply", out, dy, y));
    contribute(gradients, y, dy.shape, (out) => binaryInto("multiply", out, dy, x));
  });
}

/**
 * Elementwise quotient `a / b`, with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The quotient, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, divide, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = divide(device.from([3, 4], [2]), device.from([2], [1]));
 * assert((await read(y)).join() === "1.5,2");
 * ```
 */
export function divide<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
/**
 * Elementwise quotient with broadcasting.
 *
 * @param a Left operand.
 * @param b Right operand, of the same type; its sizes equal those of `a` or are 1.
 * @returns The quotient, in the broadcast shape.
 * @throws {ShapeMismatchError} If the shapes do not broadcast.
 */
export function divide<D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Check<Broadcast<A, B>>,
): TensorOf<D, Broadcast<A, B>>;
export function divide(a: Tensor, b: Tensor): Tensor {
  return binary("divide", a, b, (x, y) => [x, y], (gradients, dy, x, y) => {
    contribute(gradients, x, dy.shape, (out) => binaryInto("divide", out, dy, y));
    // d(x/y)/dy = -x / y^2
    contribute(gradients, y, dy.shape, (out) => {
      const ratio = out.memory.allocate(dy.dtype, dy.shape);
      binaryInto("divide", ratio, x, y);
      binaryInto("divide", ratio, ratio, y);
      binaryInto("multiply", ratio, ratio, dy);
      unaryInto("scale", out, ratio, -1);
    });
  });
}
