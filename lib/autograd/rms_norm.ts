/** Root-mean-square normalisation. @module */

import { requireFinite } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { operands, real } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { rowsOf, showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { accumulateMask, writeGradients } from "./contribute.ts";

/**
 * RMSNorm over the last axis: `x · weight / sqrt(mean(x²) + epsilon)`.
 *
 * @param x Rows of size D in the last axis, f32 or bf16.
 * @param weight Scale of each column, `[D]`, always f32.
 * @param epsilon Keeps the root away from zero. Default 1e-5, as in the paper.
 * @returns A tensor of the shape and type of `x`.
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
export function rmsNorm<S extends Shape, D extends Real = "f32">(
  x: Tensor<D, S>,
  weight: Tensor<"f32", readonly [number]>,
  epsilon = 1e-5,
): Tensor<D, S> {
  const [given, scale] = operands("apply rmsNorm to", real(x), weight);
  const source = given as DeviceTensor<D, S>;
  requireFinite("apply rmsNorm", "epsilon", epsilon, { least: 0 });
  const columns = source.shape.at(-1);
  if (columns === undefined || scale.shape.length !== 1 || scale.size !== columns) {
    throw new ShapeMismatchError(
      `Cannot apply rmsNorm to ${showShape(source.shape)} with weight ${showShape(scale.shape)}: ` +
        `the weight must have the size of the last axis`,
    );
  }
  const { memory, dtype } = source;
  const { kernels: k } = memory;
  const { rows } = rowsOf("rmsNorm", source);
  const out = memory.allocate(dtype, source.shape);
  const inverse = memory.allocate("f32", [rows]);
  k.check(
    k.symbols.remoe_rms_norm_forward(
      k.handle,
      DTYPE_CODE[dtype],
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
      writeGradients(gradients, [source, scale], [dtype, "f32"], (targets) => {
        const [dx, dweight] = targets;
        k.check(
          k.symbols.remoe_rms_norm_gradient(
            k.handle,
            DTYPE_CODE[dtype],
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
