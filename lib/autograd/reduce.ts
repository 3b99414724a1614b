/** Sums, means and softmax. @module */

import { requireOptions } from "../arguments.ts";
import { ReductionCode } from "../ffi/codes.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { operands } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { axisOf, reduceLayout, rowsOf, stridedLayout } from "../tensor/shape_math.ts";
import type { Reduced, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { accumulate } from "../tensor/transfer.ts";

/** Settings of a reduction. */
export interface ReduceOptions<Axis extends number | undefined = undefined> {
  /** The axis to reduce, counted from the end if negative. Default all. */
  axis?: Axis;
}

function reduce(
  name: "sum" | "mean",
  tensor: Tensor<"f32">,
  options: ReduceOptions<number | undefined>,
): DeviceTensor {
  const operation = `take the ${name} of`;
  const [x] = operands(operation, tensor);
  requireOptions(`take a ${name}`, options, { axis: true });
  const at = options.axis === undefined ? undefined : axisOf(operation, x.shape, options.axis);
  const isReduced = (i: number): boolean => at === undefined || i === at;
  const out = x.memory.allocate("f32", x.shape.filter((_, i) => !isReduced(i)));
  const { kernels: k } = x.memory;
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode[name],
      DTYPE_CODE.f32,
      out.address,
      x.address,
      reduceLayout(x.shape, isReduced),
      0,
    ),
    name,
  );
  recordNode({
    operation: name,
    inputs: [x],
    outputs: [out],
    saved: [],
    backward(gradients) {
      const dy = gradients.of(out);
      const target = dy && gradients.into(x);
      if (!dy || !target) return;
      // Each element gets the full gradient of a sum, or its share of a mean's.
      const repeated = target.accumulate === 0 && name === "sum"
        ? target.tensor
        : x.memory.allocate("f32", x.shape);
      repeatInto(repeated, dy, isReduced);
      if (repeated === target.tensor) return;
      if (target.accumulate === 0) {
        k.check(
          k.symbols.remoe_fill(k.handle, DTYPE_CODE.f32, target.tensor.address, 0, BigInt(x.size)),
          name,
        );
      }
      accumulate(target.tensor, repeated, name === "mean" ? out.size / x.size : 1);
    },
  });
  return out;
}

/** Broadcasts a reduced tensor along the axes that were reduced. */
function repeatInto(
  out: DeviceTensor,
  reduced: DeviceTensor,
  isReduced: (axis: number) => boolean,
): void {
  const strides = new Array<number>(out.shape.length);
  let stride = 1;
  for (let axis = out.shape.length - 1; axis >= 0; axis--) {
    strides[axis] = isReduced(axis) ? 0 : stride;
    if (!isReduced(axis)) stride *= out.shape[axis]!;
  }
  const { kernels: k } = out.memory;
  k.check(
    k.symbols.remoe_copy_strided(
      k.handle,
      DTYPE_CODE.f32,
      out.address,
      reduced.address,
      stridedLayout(out.shape, strides),
    ),
    "repeat",
  );
}

/**
 * Sum over one axis, or over all elements.
 *
 * @param x Any fp32 tensor.
 * @param options The axis.
 * @returns The sums; a scalar without an axis.
 * @throws {RangeError} If there is no such axis.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, sum } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 2, 3, 4], [2, 2]);
 * assert((await read(sum(x)))[0] === 10);
 * assert((await read(sum(x, { axis: -1 }))).join() === "3,7");
 * ```
 */
export function sum<S extends Shape, const Axis extends number | undefined = undefined>(
  x: Tensor<"f32", S>,
  options: ReduceOptions<Axis> = {},
): Tensor<"f32", Reduced<S, Axis>> {
  return reduce("sum", x, options) as unknown as Tensor<"f32", Reduced<S, Axis>>;
}

/**
 * Mean over one axis, or over all elements.
 *
 * @param x Any fp32 tensor.
 * @param options The axis.
 * @returns The means; a scalar without an axis.
 * @throws {RangeError} If there is no such axis.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, mean, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 2, 3, 4], [2, 2]);
 * assert((await read(mean(x)))[0] === 2.5);
 * ```
 */
export function mean<S extends Shape, const Axis extends number | undefined = undefined>(
  x: Tensor<"f32", S>,
  options: ReduceOptions<Axis> = {},
): Tensor<"f32", Reduced<S, Axis>> {
  return reduce("mean", x, options) as unknown as Tensor<"f32", Reduced<S, Axis>>;
}

/**
 * Softmax over the last axis.
 *
 * @param x An fp32 tensor with at least one axis.
 * @returns Numbers from 0 to 1 that sum to 1 along the last axis.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, softmax } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = softmax(device.from([0, 0], [1, 2]));
 * assert((await read(y))[0] === 0.5);
 * ```
 */
export function softmax<S extends Shape>(x: Tensor<"f32", S>): Tensor<"f32", S> {
  const [source] = operands("take the softmax of", x);
  const { rows, columns } = rowsOf("softmax", source);
  const out = source.memory.allocate("f32", source.shape);
  const { kernels: k } = source.memory;
  k.check(
    k.symbols.remoe_softmax(k.handle, DTYPE_CODE.f32, out.address, source.address, rows, columns),
    "softmax",
  );
  recordNode({
    operation: "softmax",
    inputs: [source],
    outputs: [out],
    saved: [out],
    backward(gradients) {
      const dy = gradients.of(out);
      const target = dy && gradients.into(source);
      if (!dy || !target) return;
      k.check(
        k.symbols.remoe_softmax_gradient(
          k.handle,
          DTYPE_CODE.f32,
          target.tensor.address,
          dy.address,
          out.address,
          rows,
          columns,
          target.accumulate,
        ),
        "gradient of softmax",
      );
    },
  });
  return out;
}
