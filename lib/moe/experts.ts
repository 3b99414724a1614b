/** The fused MoE operation: gather, run the experts, weight by the gates, combine. @module */

import { accumulateMask, writeGradients } from "../autograd/contribute.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** Inputs of {@linkcode runExperts}. */
export interface ExpertsInput<R extends Real> {
  /** Hidden states `[T, D]`. */
  readonly x: DeviceTensor<R, readonly [number, number]>;
  /** Gate and up projections `[E, D, 2W]`. */
  readonly w1: DeviceTensor<R, readonly [number, number, number]>;
  /** Down projections `[E, W, D]`. */
  readonly w2: DeviceTensor<R, readonly [number, number, number]>;
  /** Gates `[T, E]`, always fp32. */
  readonly gates: DeviceTensor<"f32", readonly [number, number]>;
  /** Dispatch plan of the routing. A row's gate may be 0 or negative. */
  readonly plan: DeviceTensor<"i32">;
  /** Rows of the plan whose pre-activations are kept for the backward pass. */
  readonly keptRows: number;
}

/**
 * y_t = Σ_e gates[t,e] · FFN_e(x_t) (equation 1), with FFN_e(x) = (silu(x W_gate) · x W_up) W_down.
 *
 * The pre-activations `[kept rows, 2W]` are the only large tensor kept for the backward pass, which
 * recomputes the remaining rows to the same bits. Without a tape none are kept.
 */
export function runExperts<R extends Real>(input: ExpertsInput<R>): DeviceTensor<R> {
  const { x, w1, w2, gates, plan, keptRows } = input;
  const { memory, dtype } = x;
  requireOneType("run experts with states and weights of", x, w1);
  requireOneType("run experts with states and weights of", x, w2);
  const { kernels: k } = memory;
  const [tokens, hidden] = x.shape;
  const [experts, width] = w2.shape;
  const sizes = [tokens, hidden, width, experts] as const;
  const y = memory.allocate(dtype, [tokens, hidden]);
  const kept = memory.recorder === null ? 0 : keptRows;
  const h = kept === 0 ? null : memory.allocate(dtype, [kept, 2 * width]);
  k.check(
    k.symbols.remoe_experts_forward(
      k.handle,
      DTYPE_CODE[dtype],
      y.address,
      h?.address ?? 0n,
      x.address,
      w1.address,
      w2.address,
      gates.address,
      plan.address,
      kept,
      ...sizes,
    ),
    "experts",
  );
  recordNode({
    operation: "experts",
    inputs: [x, w1, w2, gates],
    outputs: [y],
    saved: h === null ? [x, w1, w2, gates, plan] : [x, w1, w2, gates, plan, h],
    backward(gradients) {
      const dy = gradients.of(y);
      if (dy === null) return;
      writeGradients(gradients, [x, w1, w2, gates], [dtype, "f32", "f32", "f32"], (targets) => {
        const [dx, dw1, dw2, dgates] = targets;
        k.check(
          k.symbols.remoe_experts_gradient(
            k.handle,
            DTYPE_CODE[dtype],
            dx?.tensor.address ?? 0n,
            dw1?.tensor.address ?? 0n,
            dw2?.tensor.address ?? 0n,
            dgates?.tensor.address ?? 0n,
            dy.address,
            h?.address ?? 0n,
            x.address,
            w1.address,
            w2.address,
            gates.address,
            plan.address,
            kept,
            ...sizes,
            accumulateMask(targets),
          ),
          "gradient of experts",
        );
      });
    },
  });
  return y;
}
