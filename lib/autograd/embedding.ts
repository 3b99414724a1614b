/** Embedding lookup. @module */

import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { i32, operands } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Looks up the table's row for each token.
 *
 * @param table `[vocabulary, hidden]`.
 * @param tokens Row numbers, `[count]`, each from 0 to vocabulary - 1.
 * @returns `[count, hidden]`.
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
export function embedding<V extends number, H extends number, T extends number>(
  table: Tensor<"f32", readonly [V, H]>,
  tokens: Tensor<"i32", readonly [T]>,
): Tensor<"f32", readonly [T, H]> {
  const [rows, index] = operands("embed with", table, i32(tokens));
  const [vocabulary, hidden] = rows.shape;
  if (rows.shape.length !== 2 || index.shape.length !== 1) {
    throw new ShapeMismatchError(
      `Cannot embed tokens ${showShape(index.shape)} with a table of shape ` +
        `${showShape(rows.shape)}: they need [tokens] and [vocabulary, hidden]`,
    );
  }
  const { kernels: k } = rows.memory;
  const out = rows.memory.allocate("f32", [index.size, hidden] as unknown as readonly [T, H]);
  k.check(
    k.symbols.remoe_embedding_forward(
      k.handle,
      DTYPE_CODE.f32,
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
      const target = dy && gradients.into(rows);
      if (!dy || !target) return;
      k.check(
        k.symbols.remoe_embedding_gradient(
          k.handle,
          DTYPE_CODE.f32,
          target.tensor.address,
          dy.address,
          index.address,
          index.size,
          hidden,
          vocabulary,
          target.accumulate,
        ),
        "gradient of embedding",
      );
    },
  });
  return out;
}
