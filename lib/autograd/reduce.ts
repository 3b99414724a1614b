/** Sums, means and softmax. @module */

import { requireOptions } from "../arguments.ts";
import { ReductionCode } from "../ffi/codes.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { realOperand, requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { axisOf, reduceLayout, rowsOf, stridedLayout } from "../tensor/shape_math.ts";
import type { Reduced, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { accumulate, fill } from "../tensor/transfer.ts";
import { writeGradient } from "./contribute.ts";

/** Settings of a reduction. */
export interface ReduceOptions<Axis extends number | undefined = undefined> {
  /** The axis to reduce, counted from the end if negative. Default all. */
  axis?: Axis;
}

function reduce(
  name: "sum" | "mean",
  tensor: Tensor<Real>,
  options: ReduceOptions<number | undefined>,
): DeviceTensor {
  const operation = `take the ${name} of`;
  const x = realOperand(operation, tensor);
  requireOptions(`take a ${name}`, options, { axis: true });
  const at = options.axis === undefined ? undefined : axisOf(operation, x.shape, options.axis);
  const isReduced = (i: number): boolean => at === undefined || i === at;
  const out = x.memory.allocate(x.dtype, x.shape.filter((_, i) => !isReduced(i)));
  const { kernels: k } = x.memory;
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode[name],
      DTYPE_CODE[x.dtype],
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
      const isDirect = target.accumulate === 0 && name === "sum" &&
        target.tensor.dtype === dy.dtype;
      const repeated = isDirect ? target.tensor : x.memory.allocate(dy.dtype, x.shape);
      repeatInto(repeated, dy, isReduced);
      if (isDirect) return;
      if (target.accumulate === 0) fill(target.tensor, 0);
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
  requireOneType("repeat", reduced, out);
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
      DTYPE_CODE[out.dtype],
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
 * @param x Any f32 or bf16 tensor; sums are taken in fp32.
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
export function sum<
  S extends Shape,
  const Axis extends number | undefined = undefined,
  D extends Real = "f32",
>(
  x: Tensor<D, S>,
  options: ReduceOptions<Axis> = {},
): Tensor<D, Reduced<S, Axis>> {
  return reduce("sum", x, options) as unknown as Tensor<D, Reduced<S, Axis>>;
}

/**
 * Mean over one axis, or over all elements.
 *
 * @param x Any f32 or bf16 tensor; sums are taken in fp32.
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
export function mean<
  S extends Shape,
  const Axis extends number | undefined = undefined,
  D extends Real = "f32",
>(
  x: Tensor<D, S>,
  options: ReduceOptions<Axis> = {},
): Tensor<D, Reduced<S, Axis>> {
  return reduce("mean", x, options) as unknown as Tensor<D, Reduced<S, Axis>>;
}

/**
 * Softmax over the last axis.
 *
 * @param x An f32 or bf16 tensor with at least one axis.
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
export function softmax<S extends Shape, D extends Real = "f32">(x: Tensor<D, S>): Tensor<D, S> {
  const source = realOperand("take the softmax of", x);
  const { rows, columns } = rowsOf("softmax", source);
  const out = source.memory.allocate(source.dtype, source.shape);
  const { kernels: k } = source.memory;
  const code = DTYPE_CODE[source.dtype];
  k.check(
    k.symbols.remoe_softmax(k.handle, code, out.address, source.address, rows, columns),
    "softmax",
  );
  recordNode({
    operation: "softmax",
    inputs: [source],
    outputs: [out],
    saved: [out],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      writeGradient(gradients, source, (dx) => {
        k.check(
          k.symbols.remoe_softmax_gradient(
            k.handle,
            code,
            dx.tensor.address,
            dy.address,
            out.address,
            rows,
            columns,
            dx.accumulate,
          ),
          "gradient of softmax",
        );
      });
    },
  });
  return out;
}
