/** Elementwise operations on one tensor, with derivatives. @module */

import { requireNumber } from "../arguments.ts";
import { UnaryCode } from "../ffi/codes.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { realOperand, requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { writeGradient } from "./contribute.ts";

type UnaryName = keyof typeof UnaryCode;

/** Applies the function `name` to each element of `x`, writing into `out`. */
export function unaryInto(
  name: UnaryName,
  out: DeviceTensor,
  x: DeviceTensor,
  parameter: number,
): void {
  requireOneType(name, x, out);
  const { kernels: k } = out.memory;
  const code = DTYPE_CODE[x.dtype];
  k.check(
    k.symbols.remoe_unary(
      k.handle,
      UnaryCode[name],
      code,
      out.address,
      x.address,
      parameter,
      BigInt(out.size),
    ),
    name,
  );
}

function unary<D extends Real, S extends Shape>(
  name: UnaryName,
  tensor: Tensor<D, S>,
  parameter = 0,
): Tensor<D, S> {
  const x = realOperand(`apply ${name} to`, tensor);
  const out = x.memory.allocate(x.dtype, x.shape);
  unaryInto(name, out, x, parameter);
  recordNode({
    operation: name,
    inputs: [x],
    outputs: [out],
    saved: [x],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      const { kernels: k } = x.memory;
      writeGradient(gradients, x, (dx) => {
        k.check(
          k.symbols.remoe_unary_gradient(
            k.handle,
            UnaryCode[name],
            DTYPE_CODE[x.dtype],
            dx.tensor.address,
            dy.address,
            x.address,
            parameter,
            BigInt(x.size),
            dx.accumulate,
          ),
          `gradient of ${name}`,
        );
      });
    },
  });
  return out;
}

/**
 * Negation `-x`.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, negate, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = negate(device.from([1, -2], [2]));
 * assert((await read(y)).join() === "-1,2");
 * ```
 */
export function negate<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("negate", x);
}

/**
 * Exponential `e^x`.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, exp, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = exp(device.from([0, 1], [2]));
 * assert(Math.abs((await read(y))[1]! - Math.E) < 1e-5);
 * ```
 */
export function exp<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("exp", x);
}

/**
 * Natural logarithm; NaN for negative elements.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, log, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = log(device.from([1, 2], [2]));
 * assert(Math.abs((await read(y))[1]! - Math.LN2) < 1e-6);
 * ```
 */
export function log<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("log", x);
}

/**
 * Square root.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, sqrt } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = sqrt(device.from([4, 9], [2]));
 * assert((await read(y)).join() === "2,3");
 * ```
 */
export function sqrt<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("sqrt", x);
}

/**
 * Square `x²`.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, square } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = square(device.from([2, -3], [2]));
 * assert((await read(y)).join() === "4,9");
 * ```
 */
export function square<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("square", x);
}

/**
 * ReLU, `max(x, 0)`; its derivative at 0 is 0.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, relu } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = relu(device.from([2, -3], [2]));
 * assert((await read(y)).join() === "2,0");
 * ```
 */
export function relu<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("relu", x);
}

/**
 * Logistic function `1 / (1 + e^-x)`.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, sigmoid } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = sigmoid(device.from([0, 1], [2]));
 * assert((await read(y))[0] === 0.5);
 * ```
 */
export function sigmoid<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("sigmoid", x);
}

/**
 * SiLU, `x · sigmoid(x)`, the activation inside SwiGLU.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, silu } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = silu(device.from([0, 1], [2]));
 * assert((await read(y))[0] === 0);
 * ```
 */
export function silu<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("silu", x);
}

/**
 * Hyperbolic tangent.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, tanh } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = tanh(device.from([0, 1], [2]));
 * assert(Math.abs((await read(y))[1]! - Math.tanh(1)) < 1e-6);
 * ```
 */
export function tanh<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  return unary("tanh", x);
}

/**
 * Product with a number, `factor · x`.
 *
 * @param x Any f32 or bf16 tensor.
 * @param factor The number.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, scale } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = scale(device.from([1, 2], [2]), 2);
 * assert((await read(y)).join() === "2,4");
 * ```
 */
export function scale<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
  factor: number,
): Tensor<D, S> {
  requireNumber("scale", "the factor", factor);
  return unary("scale", x, factor);
}

/**
 * Sum with a number, `offset + x`.
 *
 * @param x Any f32 or bf16 tensor.
 * @param offset The number.
 * @returns A tensor of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, shift } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = shift(device.from([1, 2], [2]), 2);
 * assert((await read(y)).join() === "3,4");
 * ```
 */
export function shift<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
  offset: number,
): Tensor<D, S> {
  requireNumber("shift", "the offset", offset);
  return unary("shift", x, offset);
}
