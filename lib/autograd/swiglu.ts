/** SwiGLU, the gated activation of LLaMA's feed-forward networks. @module */

import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { realOperand } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { writeGradient } from "./contribute.ts";

/**
 * SwiGLU: `silu(h[:, :W]) · h[:, W:]`. The first half of the columns gates the second.
 *
 * @param h Pre-activations `[rows, 2W]`, gate | up; f32 or bf16.
 * @returns Activations `[rows, W]`, of the same type.
 * @throws {ShapeMismatchError} If `h` is not a matrix with an even number of columns.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, swiglu } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = swiglu(device.from([0, 5], [1, 2]));
 * assert((await read(y))[0] === 0);
 * ```
 */
export function swiglu<R extends number, D extends Real = "f32">(
  h: Tensor<D, readonly [R, number]>,
): Tensor<D, readonly [R, number]> {
  const source = realOperand("apply swiglu to", h);
  const [rows, columns] = source.shape;
  if (source.shape.length !== 2 || columns % 2 !== 0) {
    throw new ShapeMismatchError(
      `Cannot apply swiglu to ${showShape(source.shape)}: it needs rows of an even size, gate | up`,
    );
  }
  const width = columns / 2;
  const { kernels: k } = source.memory;
  const out = source.memory.allocate(source.dtype, [rows, width] as readonly [R, number]);
  k.check(
    k.symbols.remoe_swiglu_forward(
      k.handle,
      DTYPE_CODE[source.dtype],
      out.address,
      source.address,
      rows,
      width,
    ),
    "swiglu",
  );
  recordNode({
    operation: "swiglu",
    inputs: [source],
    outputs: [out],
    saved: [source],
    backward(gradients) {
      const da = gradients.of(out);
      if (da === null) return;
      writeGradient(gradients, source, (dh) => {
        k.check(
          k.symbols.remoe_swiglu_gradient(
            k.handle,
            DTYPE_CODE[source.dtype],
            dh.tensor.address,
            da.address,
            source.address,
            rows,
            width,
            dh.accumulate,
          ),
          "gradient of swiglu",
        );
      });
    },
  });
  return out;
}
