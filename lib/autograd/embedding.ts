/** Embedding lookup. @module */

import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { i32, operands, real } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { writeGradient } from "./contribute.ts";

/**
 * Looks up the table's row for each token.
 *
 * @param table `[vocabulary, hidden]`, f32 or bf16.
 * @param tokens Row numbers, `[count]`, each from 0 to vocabulary - 1.
 * @returns `[count, hidden]`, of the table's type.
 * @throws {ShapeMismatchError} If the table is not a matrix or the tokens not a vector.
 * @throws {DeviceError} If a token is outside the vocabulary; the message names its position.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, embedding, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = embedding(device.from([1, 2, 3, 4], [2, 2]), device.tokens([1, 0]));
 * assert((await read(y)).join() === "3,4,1,2");
 * ```
 */
export function embedding<
  V extends number,
  H extends number,
  T extends number,
  D extends Real = "f32",
>(
  table: Tensor<D, readonly [V, H]>,
  tokens: Tensor<"i32", readonly [T]>,
): Tensor<D, readonly [T, H]> {
  const [given, index] = operands("embed with", real(table), i32(tokens));
  const rows = given as DeviceTensor<D, readonly [V, H]>;
  const [vocabulary, hidden] = rows.shape;
  if (rows.shape.length !== 2 || index.shape.length !== 1) {
    throw new ShapeMismatchError(
      `Cannot embed tokens ${showShape(index.shape)} with a table of shape ` +
        `${showShape(rows.shape)}: they need [tokens] and [vocabulary, hidden]`,
    );
  }
  const { kernels: k } = rows.memory;
  const out = rows.memory.allocate(rows.dtype, [index.size, hidden] as unknown as readonly [T, H]);
  k.check(
    k.symbols.remoe_embedding_forward(
      k.handle,
      DTYPE_CODE[rows.dtype],
      out.address,
      rows.address,
      index.address,
      index.size,
      hidden,
      vocabulary,
    ),
    "embedding",
  );
  recordNode({
    operation: "embedding",
    inputs: [rows],
    outputs: [out],
    saved: [index],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      writeGradient(gradients, rows, (dtable) => {
        k.check(
          k.symbols.remoe_embedding_gradient(
            k.handle,
            DTYPE_CODE[rows.dtype],
            dtable.tensor.address,
            dy.address,
            index.address,
            index.size,
            hidden,
            vocabulary,
            dtable.accumulate,
          ),
          "gradient of embedding",
        );
      }, "f32");
    },
  });
  return out;
}
