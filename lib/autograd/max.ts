/** Maxima and masks. @module */

import { requireOptions } from "../arguments.ts";
import { ReductionCode, UnaryCode } from "../ffi/codes.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { operands } from "../tensor/operands.ts";
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
 * @param x Any fp32 tensor.
 * @returns Zeros and ones, of the same shape.
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
export function isPositive<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  const [source] = operands("apply isPositive to", x);
  const { memory } = source;
  const { kernels: k } = memory;
  const ones = memory.allocate("f32", source.shape);
  fill(ones, 1);
  const out = memory.allocate("f32", source.shape);
  // This mask is the derivative of ReLU.
  k.check(
    k.symbols.remoe_unary_gradient(
      k.handle,
      UnaryCode.relu,
      DTYPE_CODE.f32,
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
function maximum(x: Tensor<"f32">, isReduced: (axis: number) => boolean): Tensor<"f32"> {
  const [source] = operands("take the max of", x);
  const { kernels: k } = source.memory;
  const out = source.memory.allocate("f32", source.shape.filter((_, axis) => !isReduced(axis)));
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode.maximum,
      DTYPE_CODE.f32,
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
 * @param x Any fp32 tensor.
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
export function max<S extends Shape, const Axis extends number | undefined = undefined>(
  x: Tensor<"f32", S>,
  options: ReduceOptions<Axis> = {},
): Tensor<"f32", Reduced<S, Axis>> {
  operands("take the max of", x);
  requireOptions("take a max", options, { axis: true });
  const axis = options.axis as number | undefined;
  const at = axis === undefined ? undefined : axisOf("take the max of", x.shape, axis);
  const isReduced = (i: number): boolean => at === undefined || i === at;
  // Keeps the reduced axes at size 1, so that the maxima broadcast.
  const kept = x.shape.map((size, i) => isReduced(i) ? 1 : size);
  const operation = defineOperation({
    name: "max",
    forward: (input: Tensor<"f32">): Tensor<"f32"> => maximum(input, isReduced),
    backward: ({ inputs: [input], output, gradient }) => {
      const below = isPositive(subtract<"f32", Shape, Shape>(reshape(output, kept), input));
      const largest = shift(negate(below), 1);
      const shares = at === undefined ? sum(largest) : sum(largest, { axis: at });
      const each = divide<"f32", Shape, Shape>(gradient, shares as Tensor<"f32">);
      return [multiply<"f32", Shape, Shape>(largest, reshape(each, kept))];
    },
  });
  return operation(x as Tensor<"f32">) as Tensor<"f32", Reduced<S, Axis>>;
}
