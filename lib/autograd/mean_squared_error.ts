/** Mean squared error. @module */

import { ShapeMismatchError } from "../errors.ts";
import type { Real } from "../tensor/dtype.ts";
import { operands, real, requireOneType } from "../tensor/operands.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { subtract } from "./arithmetic.ts";
import { inFp32 } from "./layout.ts";
import { mean } from "./reduce.ts";
import { square } from "./unary.ts";

/**
 * Mean of the squared differences of two tensors.
 *
 * @param a Any f32 or bf16 tensor; the error is computed in fp32.
 * @param b A tensor of the same shape and type.
 * @returns A scalar, always f32.
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
export function meanSquaredError<S extends Shape, D extends Real = "f32">(
  a: Tensor<D, S>,
  b: Tensor<NoInfer<D>, NoInfer<S>>,
): Tensor<"f32", readonly []> {
  const [left, right] = operands(
    "take the meanSquaredError of",
    real<Tensor<Real>>(a),
    real<Tensor<Real>>(b),
  );
  requireOneType("take the meanSquaredError of", left, right);
  if (!sameShape(a.shape, b.shape)) {
    throw new ShapeMismatchError(
      `Cannot take the meanSquaredError of ${showShape(a.shape)} and ${showShape(b.shape)}: ` +
        `the shapes must be equal`,
    );
  }
  const difference = subtract<"f32", Shape, Shape>(inFp32(left), inFp32(right));
  return mean(square(difference)) as Tensor<"f32", readonly []>;
}
