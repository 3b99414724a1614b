/** Maxima and masks. @module */

import { requireOptions } from "../arguments.ts";
import { ReductionCode, UnaryCode } from "../ffi/codes.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { realOperand } from "../tensor/operands.ts";
import { axisOf, reduceLayout } from "../tensor/shape_math.ts";
import type { Reduced, Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";
import { divide, multiply, subtract } from "./arithmetic.ts";
import { defineOperation } from "./define_operation.ts";
import { reshape } from "./layout.ts";
import { type ReduceOptions, sum } from "./reduce.ts";
import { negate, shift } from "./unary.ts";

/**
 * Mask of the positive elements: 1 where an element is above 0, else 0. No gradient flows through
 * it.
 *
 * Compare two tensors by `isPositive(subtract(a, b))`; select between them by a mask `m` with
 * `add(multiply(m, a), multiply(shift(negate(m), 1), b))`.
 *
 * @param x Any f32 or bf16 tensor.
 * @returns Zeros and ones, of the same shape and type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, isPositive, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const mask = isPositive(device.from([-1, 0, 2], [3]));
 * assert((await read(mask)).join() === "0,0,1");
 * ```
 */
export function isPositive<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
): Tensor<D, S> {
  const source = realOperand("apply isPositive to", x);
  const { memory, dtype } = source;
  const { kernels: k } = memory;
  const ones = memory.allocate(dtype, source.shape);
  fill(ones, 1);
  const out = memory.allocate(dtype, source.shape);
  // This mask is the derivative of ReLU.
  k.check(
    k.symbols.remoe_unary_gradient(
      k.handle,
      UnaryCode.relu,
      DTYPE_CODE[dtype],
      out.address,
      ones.address,
      source.address,
      0,
      BigInt(source.size),
      0,
    ),
    "isPositive",
  );
  ones[Symbol.dispose]();
  return out;
}

/** Maxima over the axes that `isReduced` names. */
function maximum<D extends Real>(
  x: Tensor<D>,
  isReduced: (axis: number) => boolean,
): Tensor<D> {
  const source = realOperand("take the max of", x);
  const { kernels: k } = source.memory;
  const kept = source.shape.filter((_, axis) => !isReduced(axis));
  const out = source.memory.allocate(source.dtype, kept);
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode.maximum,
      DTYPE_CODE[source.dtype],
      out.address,
      source.address,
      reduceLayout(source.shape, isReduced),
      0,
    ),
    "max",
  );
  return out;
}

/**
 * Maximum along one axis, or over all elements.
 *
 * The gradient goes to the largest element, split evenly among ties.
 *
 * @param x Any f32 or bf16 tensor.
 * @param options The axis.
 * @returns The maxima; a scalar without an axis.
 * @throws {RangeError} If there is no such axis.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, max, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 5, 4, 2], [2, 2]);
 * assert((await read(max(x)))[0] === 5);
 * assert((await read(max(x, { axis: -1 }))).join() === "5,4");
 * ```
 */
export function max<
  S extends Shape,
  const Axis extends number | undefined = undefined,
  D extends Real = "f32",
>(
  x: Tensor<D, S>,
  options: ReduceOptions<Axis> = {},
): Tensor<D, Reduced<S, Axis>> {
  realOperand("take the max of", x);
  requireOptions("take a max", options, { axis: true });
  const axis = options.axis as number | undefined;
  const at = axis === undefined ? undefined : axisOf("take the max of", x.shape, axis);
  const isReduced = (i: number): boolean => at === undefined || i === at;
  // Keeps the reduced axes at size 1, so that the maxima broadcast.
  const kept = x.shape.map((size, i) => isReduced(i) ? 1 : size);
  const operation = defineOperation({
    name: "max",
    forward: (input: Tensor<Real>): Tensor<Real> => maximum(input, isReduced),
    backward: ({ inputs: [input], output, gradient }) => {
      const below = isPositive(subtract<Real, Shape, Shape>(reshape(output, kept), input));
      const largest = shift(negate(below), 1);
      const shares = at === undefined ? sum(largest) : sum(largest, { axis: at });
      const each = divide<Real, Shape, Shape>(gradient, shares as Tensor<Real>);
      return [multiply<Real, Shape, Shape>(largest, reshape(each, kept))];
    },
  });
  return operation(x as Tensor<Real>) as Tensor<D, Reduced<S, Axis>>;
}
