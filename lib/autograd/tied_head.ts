/** An output head that is the embedding's table, transposed. @module */

import type { GradientType, Real } from "../tensor/dtype.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { Shape } from "../tensor/shape.ts";
import { DeviceTensor } from "../tensor/tensor.ts";
import { addTo } from "./contribute.ts";
import { permuteInto } from "./layout.ts";
import { gemm } from "./matmul.ts";

/** A weight's transpose. Its gradient is fp32 like that of the weight, which it becomes. */
class TransposedWeight<R extends Real, S extends Shape> extends DeviceTensor<R, S> {
  override get gradientDtype(): GradientType {
    return "f32";
  }
}

/**
 * Transposes a table `[vocabulary, hidden]` into a head `[hidden, vocabulary]`, as the fused loss
 * reads it; the head's gradient is added to the table's.
 */
export function headOf<R extends Real>(
  table: DeviceTensor<R, readonly [number, number]>,
): DeviceTensor<R, readonly [number, number]> {
  const { memory, dtype, shape: [vocabulary, hidden] } = table;
  const made = memory.allocate(dtype, [hidden, vocabulary] as const);
  permuteInto(made, table, table.shape, [1, 0]);
  const head = new TransposedWeight(memory, dtype, made, made.storage, true);
  recordNode({
    operation: "transpose of the embedding",
    inputs: [table],
    outputs: [head],
    saved: [],
    backward(gradients) {
      const dhead = gradients.of(head);
      const target = dhead && gradients.into(table);
      if (!dhead || !target) return;
      if (target.accumulate === 0) return permuteInto(target.tensor, dhead, dhead.shape, [1, 0]);
      const dtable = memory.allocate("f32", table.shape);
      permuteInto(dtable, dhead, dhead.shape, [1, 0]);
      addTo(target, dtable);
    },
  });
  return head;
}

/** The logits `x · tableᵀ` of a table `[vocabulary, hidden]`, in fp32, without a transposed copy. */
export function tiedLogits<R extends Real>(
  x: DeviceTensor<R, readonly [number, number]>,
  table: DeviceTensor<R, readonly [number, number]>,
): DeviceTensor<"f32", readonly [number, number]> {
  const [m, k] = x.shape;
  const [n] = table.shape;
  const logits = x.memory.allocate("f32", [m, n] as const);
  gemm(logits, x, table, { transposeB: true, m, n, k, beta: 0 });
  recordNode({
    operation: "logits of the embedding",
    inputs: [x, table],
    outputs: [logits],
    saved: [x, table],
    // C = A Bᵀ gives dA = dC B and dB = dCᵀ A.
    backward(gradients) {
      const dc = gradients.of(logits);
      if (dc === null) return;
      const dx = gradients.into(x);
      if (dx) gemm(dx.tensor, dc, table, { m, n: k, k: n, beta: dx.accumulate });
      const dtable = gradients.into(table);
      if (dtable) {
        gemm(dtable.tensor, dc, x, { transposeA: true, m: n, n: k, k: m, beta: dtable.accumulate });
      }
    },
  });
  return logits;
}
