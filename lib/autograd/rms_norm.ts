/** Root-mean-square normalisation. @module */

import { requireFinite } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { operands } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { rowsOf, showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { accumulateMask, writeGradients } from "./contribute.ts";

/**
 * RMSNorm over the last axis: `x · weight / sqrt(mean(x²) + epsilon)`.
 *
 * @param x Rows of size D in the last axis.
 * @param weight Scale of each column, `[D]`.
 * @param epsilon Keeps the root away from zero. Default 1e-5, as in the paper.
 * @returns A tensor of the shape of `x`.
 * @throws {ShapeMismatchError} If the size of `weight` is not the last size of `x`.
 * @throws {RangeError} If epsilon is negative or not finite.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, rmsNorm } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = rmsNorm(device.from([3, -3], [1, 2]), device.ones([2]));
 * assert(Math.abs((await read(y))[0]! - 1) < 1e-5);
 * ```
 */
export function rmsNorm<S extends Shape>(
  x: Tensor<"f32", S>,
  weight: Tensor<"f32", readonly [number]>,
  epsilon = 1e-5,
): Tensor<"f32", S> {
  const [source, scale] = operands("apply rmsNorm to", x, weight);
  requireFinite("apply rmsNorm", "epsilon", epsilon, { least: 0 });
  const columns = source.shape.at(-1);
  if (columns === undefined || scale.shape.length !== 1 || scale.size !== columns) {
    throw new ShapeMismatchError(
      `Cannot apply rmsNorm to ${showShape(source.shape)} with weight ${showShape(scale.shape)}: ` +
        `the weight must have the size of the last axis`,
    );
  }
  const { memory } = source;
  const { kernels: k } = memory;
  const { rows } = rowsOf("rmsNorm", source);
  const out = memory.allocate("f32", source.shape);
  const inverse = memory.allocate("f32", [rows]);
  k.check(
    k.symbols.remoe_rms_norm_forward(
      k.handle,
      DTYPE_CODE.f32,
      out.address,
      inverse.address,
      source.address,
      scale.address,
      rows,
      columns,
      epsilon,
    ),
    "rmsNorm",
  );
  recordNode({
    operation: "rmsNorm",
    inputs: [source, scale],
    outputs: [out],
    saved: [source, scale, inverse],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      writeGradients(gradients, [source, scale], (targets) => {
        const [dx, dweight] = targets;
        k.check(
          k.symbols.remoe_rms_norm_gradient(
            k.handle,
            DTYPE_CODE.f32,
            dx?.tensor.address ?? 0n,
            dweight?.tensor.address ?? 0n,
            dy.address,
            inverse.address,
            source.address,
            scale.address,
            rows,
            columns,
            accumulateMask(targets),
          ),
          "gradient of rmsNorm",
        );
      });
    },
  });
  return out;
}
