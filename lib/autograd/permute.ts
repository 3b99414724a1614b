/** Permutation of axes. @module */

import { ShapeMismatchError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";
import { any, operands } from "../tensor/operands.ts";
import { ownList } from "../arguments.ts";
import { recordNode } from "../tensor/recorder.ts";
import { inversePermutation, showShape } from "../tensor/shape_math.ts";
import type { Permuted, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { contribute } from "./contribute.ts";
import { permuteInto } from "./layout.ts";

/**
 * Permutes the axes, into new memory: axis `i` of the result is axis `order[i]` of `x`.
 *
 * @param x Any tensor.
 * @param order Each axis exactly once, counted from 0.
 * @returns A tensor of shape `order.map((axis) => x.shape[axis])`.
 * @throws {ShapeMismatchError} If `order` is not a permutation of the axes.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, permute } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = permute(device.zeros([2, 3, 4]), [2, 0, 1]); // Tensor<"f32", readonly [4, 2, 3]>
 * assert(y.shape.join() === "4,2,3");
 * ```
 */
export function permute<D extends DType, S extends Shape, const O extends Shape>(
  x: Tensor<D, S>,
  order: O,
): Tensor<D, Permuted<S, O>> {
  const [source] = operands("permute", any(x)) as readonly [DeviceTensor<D>];
  const rank = source.shape.length;
  const axes = Array.isArray(order) && order.length === rank ? ownList<number>(order) : null;
  if (axes === null || !source.shape.every((_, axis) => axes.includes(axis))) {
    throw new ShapeMismatchError(
      `Cannot permute ${showShape(source.shape)} by ${
        showShape(order)
      }: name each of its ${rank} ` +
        `axes once, from 0`,
    );
  }
  const inverse = inversePermutation(axes);
  const out = source.memory.allocate(source.dtype, axes.map((axis) => source.shape[axis]!));
  permuteInto(out, source, source.shape, axes);
  recordNode({
    operation: "permute",
    inputs: [source],
    outputs: [out],
    saved: [],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      contribute(gradients, source, source.shape, (dx) => permuteInto(dx, dy, dy.shape, inverse));
    },
  });
  return out as unknown as Tensor<D, Permuted<S, O>>;
}
