/** Elementwise operations with broadcasting, and their derivatives. @module */

import type { DType } from "../tensor/dtype.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { type Gradients, recordNode } from "../tensor/recorder.ts";
import {
  binaryLayout,
  broadcastShape,
  sameShape,
  unbroadcastLayout,
} from "../tensor/shape_math.ts";
import type { Broadcast, Check, Shape } from "../tensor/shape.ts";
import { type DeviceTensor, internal, type Tensor } from "../tensor/tensor.ts";
import { accumulate } from "../tensor/transfer.ts";

/** The tensor of a result shape. */
export type TensorOf<D extends DType, R> = R extends Shape ? Tensor<D, R> : never;

/** `remoe_binary`. */
const BINARY = { add: 0, subtract: 1, multiply: 2, divide: 3 } as const;
type BinaryName = keyof typeof BINARY;

/** `remoe_reduction` of a sum. */
const SUM = 0;

function binaryInto(name: BinaryName, out: DeviceTensor, a: DeviceTensor, b: DeviceTensor): void {
  const { kernels: k } = out.memory;
  const layout = binaryLayout(out.shape, a.shape, b.shape);
  const code = DTYPE_CODE[a.dtype];
  k.check(
    k.symbols.remoe_binary(
      k.handle,
      BINARY[name],
      code,
      out.address,
      a.address,
      b.address,
      layout,
    ),
    name,
  );
}

/**
 * Adds to the gradient of `input` what `compute` writes into a tensor of shape `shape`,
 * summed over the axes along which the input was repeated: y = broadcast(x) gives
 * dx = sum of dy over the copies.
 */
function contribute(
  gradients: Gradients,
  input: DeviceTensor,
  shape: Shape,
  compute: (out: DeviceTensor) => void,
): void {
  const target = gradients.into(input);
  if (target === null) return;
  const same = sameShape(input.shape, shape);
  if (same && target.accumulate === 0) return compute(target.tensor);
  const whole = input.memory.allocate("f32", shape);
  compute(whole);
  if (same) return accumulate(target.tensor, whole, 1);
  const { kernels: k } = input.memory;
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      SUM,
      DTYPE_CODE.f32,
      target.tensor.address,
      whole.address,
      unbroadcastLayout(shape, input.shape),
      target.accumulate,
    ),
    "sum of a broadcast gradient",
  );
}

type BinaryBackward = (
  gradients: Gradients,
  dy: DeviceTensor,
  a: DeviceTensor,
  b: DeviceTensor,
) => void;

function binary(
  name: BinaryName,
  left: Tensor,
  right: Tensor,
  saved: (a: DeviceTensor, b: DeviceTensor) => DeviceTensor[],
  backward: BinaryBackward,
): DeviceTensor {
  const a = internal(left);
  const b = internal(right);
  if (a.dtype !== b.dtype) {
    throw new TypeError(`Cannot ${name} ${a.dtype} and ${b.dtype}: cast one of them first`);
  }
  const out = a.memory.allocate(a.dtype, broadcastShape(name, a.shape, b.shape));
  binaryInto(name, out, a, b);
  recordNode({
    operation: name,
    inputs: [a, b],
    outputs: [out],
    saved: saved(a, b),
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy !== null) backward(gradients, dy, a, b);
    },
  });
  return out;
}

/** dx = scale * dy. */
function scaled(gradients: Gradients, x: DeviceTensor, dy: DeviceTensor, scale: number): void {
  contribute(gradients, x, dy.shape, (out) => unaryInto("scale", out, dy, scale));
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
 * import { add, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = add(device.from([1, 2, 3, 4], [2, 2]), device.from([10, 20], [2]));
 * console.assert((await read(y)).join() === "11,22,13,24");
 * ```
 */
export function add<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
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
  return binary("add", a, b, () => [], (gradients, dy, x, y) => {
    scaled(gradients, x, dy, 1);
    scaled(gradients, y, dy, 1);
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
 * import { Device, read, subtract } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = subtract(device.from([3, 4], [2]), device.from([1], [1]));
 * console.assert((await read(y)).join() === "2,3");
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
  return binary("subtract", a, b, () => [], (gradients, dy, x, y) => {
    scaled(gradients, x, dy, 1);
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
 * import { Device, multiply, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = multiply(device.from([3, 4], [2, 1]), device.from([1, 2], [2]));
 * console.assert((await read(y)).join() === "3,6,4,8");
 * ```
 */
export function multiply<D extends DType, S extends Shape>(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<D, S>;
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
 * import { Device, divide, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = divide(device.from([3, 4], [2]), device.from([2], [1]));
 * console.assert((await read(y)).join() === "1.5,2");
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
      const ratio = out.memory.allocate("f32", dy.shape);
      binaryInto("divide", ratio, x, y);
      binaryInto("divide", ratio, ratio, y);
      binaryInto("multiply", ratio, ratio, dy);
      unaryInto("scale", out, ratio, -1);
    });
  });
}

/** `remoe_unary`. */
const UNARY = {
  negate: 0,
  exp: 1,
  log: 2,
  sqrt: 3,
  square: 4,
  relu: 5,
  sigmoid: 6,
  silu: 7,
  tanh: 8,
  scale: 9,
  shift: 10,
} as const;
type UnaryName = keyof typeof UNARY;

function unaryInto(name: UnaryName, out: DeviceTensor, x: DeviceTensor, parameter: number): void {
  const { kernels: k } = out.memory;
  const code = DTYPE_CODE[x.dtype];
  k.check(
    k.symbols.remoe_unary(
      k.handle,
      UNARY[name],
      code,
      out.address,
      x.address,
      parameter,
      BigInt(out.size),
    ),
    name,
  );
}

function unary<S extends Shape>(
  name: UnaryName,
  tensor: Tensor<"f32", S>,
  parameter = 0,
): Tensor<"f32", S> {
  const x = internal(tensor);
  const out = x.memory.allocate("f32", x.shape);
  unaryInto(name, out, x, parameter);
  recordNode({
    operation: name,
    inputs: [x],
    outputs: [out],
    saved: [x],
    backward(gradients) {
      const dy = gradients.of(out);
      const target = dy && gradients.into(x);
      if (!dy || !target) return;
      const { kernels: k } = x.memory;
      k.check(
        k.symbols.remoe_unary_gradient(
          k.handle,
          UNARY[name],
          DTYPE_CODE.f32,
          target.tensor.address,
          dy.address,
          x.address,
          parameter,
          BigInt(x.size),
          target.accumulate,
        ),
        `gradient of ${name}`,
      );
    },
  });
  return out;
}

/**
 * Negation `-x`.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, negate, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = negate(device.from([1, -2], [2]));
 * console.assert((await read(y)).join() === "-1,2");
 * ```
 */
export function negate<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("negate", x);
}

/**
 * Exponential `e^x`.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, exp, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = exp(device.from([0, 1], [2]));
 * console.assert(Math.abs((await read(y))[1]! - Math.E) < 1e-5);
 * ```
 */
export function exp<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("exp", x);
}

/**
 * Natural logarithm; not a number for negative elements.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, log, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = log(device.from([1, 2], [2]));
 * console.assert(Math.abs((await read(y))[1]! - Math.LN2) < 1e-6);
 * ```
 */
export function log<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("log", x);
}

/**
 * Square root.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, sqrt } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = sqrt(device.from([4, 9], [2]));
 * console.assert((await read(y)).join() === "2,3");
 * ```
 */
export function sqrt<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("sqrt", x);
}

/**
 * Square `x²`.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, square } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = square(device.from([2, -3], [2]));
 * console.assert((await read(y)).join() === "4,9");
 * ```
 */
export function square<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("square", x);
}

/**
 * `max(x, 0)`; its derivative at 0 is 0.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, relu } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = relu(device.from([2, -3], [2]));
 * console.assert((await read(y)).join() === "2,0");
 * ```
 */
export function relu<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("relu", x);
}

/**
 * Logistic function `1 / (1 + e^-x)`.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, sigmoid } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = sigmoid(device.from([0, 1], [2]));
 * console.assert((await read(y))[0] === 0.5);
 * ```
 */
export function sigmoid<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("sigmoid", x);
}

/**
 * `x · sigmoid(x)`, the activation inside SwiGLU.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, silu } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = silu(device.from([0, 1], [2]));
 * console.assert((await read(y))[0] === 0);
 * ```
 */
export function silu<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("silu", x);
}

/**
 * Hyperbolic tangent.
 *
 * @param x Any fp32 tensor.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, tanh } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = tanh(device.from([0, 1], [2]));
 * console.assert(Math.abs((await read(y))[1]! - Math.tanh(1)) < 1e-6);
 * ```
 */
export function tanh<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  return unary("tanh", x);
}

/**
 * Product with a number, `factor · x`.
 *
 * @param x Any fp32 tensor.
 * @param factor The number.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, scale } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = scale(device.from([1, 2], [2]), 2);
 * console.assert((await read(y)).join() === "2,4");
 * ```
 */
export function scale<S extends Shape>(x: Tensor<"f32", S>, factor: number): Tensor<"f32", S> {
  return unary("scale", x, factor);
}

/**
 * Sum with a number, `offset + x`.
 *
 * @param x Any fp32 tensor.
 * @param offset The number.
 * @returns A tensor of the same shape.
 *
 * @example
 * ```ts
 * import { Device, read, shift } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = shift(device.from([1, 2], [2]), 2);
 * console.assert((await read(y)).join() === "3,4");
 * ```
 */
export function shift<S extends Shape>(x: Tensor<"f32", S>, offset: number): Tensor<"f32", S> {
  return unary("shift", x, offset);
}
