/** Mean squared error. @module */

import { ShapeMismatchError } from "../errors.ts";
import { operands } from "../tensor/operands.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { subtract } from "./arithmetic.ts";
import { mean } from "./reduce.ts";
import { square } from "./unary.ts";

/**
 * Mean of the squared differences of two tensors.
 *
 * @param a Any fp32 tensor.
 * @param b A tensor of the same shape.
 * @returns A scalar.
 * @throws {ShapeMismatchError} If the shapes differ.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, meanSquaredError, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const loss = meanSquaredError(device.from([1, 2], [2]), device.from([1, 4], [2]));
 * assert((await read(loss))[0] === 2);
 * ```
 */
export function meanSquaredError<S extends Shape>(
  a: Tensor<"f32", S>,
  b: Tensor<"f32", NoInfer<S>>,
): Tensor<"f32", readonly []> {
  operands("take the meanSquaredError of", a, b as Tensor<"f32">);
  if (!sameShape(a.shape, b.shape)) {
    throw new ShapeMismatchError(
      `Cannot take the meanSquaredError of ${showShape(a.shape)} and ${showShape(b.shape)}: ` +
        `the shapes must be equal`,
    );
  }
  const difference = subtract<"f32", Shape, Shape>(a, b as Tensor<"f32">);
  return mean(square(difference)) as Tensor<"f32", readonly []>;
}
