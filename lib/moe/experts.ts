/** The fused MoE operation: gather, experts, gates, combine. @module */

import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { planCapacity } from "./dispatch_plan.ts";

/** Tensors of {@linkcode runExperts}. */
export interface ExpertsInput {
  /** Hidden states `[T, D]`. */
  readonly x: DeviceTensor<"f32", readonly [number, number]>;
  /** Gate and up projections `[E, D, 2W]`. */
  readonly w1: DeviceTensor<"f32", readonly [number, number, number]>;
  /** Down projections `[E, W, D]`. */
  readonly w2: DeviceTensor<"f32", readonly [number, number, number]>;
  /** Gates `[T, E]`. */
  readonly gates: DeviceTensor<"f32", readonly [number, number]>;
  /** Plan made from the gates. */
  readonly plan: DeviceTensor<"i32">;
}

/**
 * y_t = Σ_e gates[t,e] · FFN_e(x_t) (equation 1), with FFN_e(x) = (silu(x W_gate) · x W_up) W_down.
 *
 * The pre-activations are the one large tensor kept for the backward pass; without a tape
 * they are not kept at all.
 */
export function runExperts(input: ExpertsInput): DeviceTensor<"f32"> {
  const { x, w1, w2, gates, plan } = input;
  const { memory } = x;
  const { kernels: k } = memory;
  const [tokens, hidden] = x.shape;
  const [experts, width] = w2.shape;
  const sizes = [tokens, hidden, width, experts] as const;
  const y = memory.allocate("f32", [tokens, hidden]);
  const h = memory.recorder === null
    ? null
    : memory.allocate("f32", [planCapacity(gates), 2 * width]);
  k.check(
    k.symbols.remoe_experts_forward(
      k.handle,
      y.address,
      h?.address ?? 0n,
      x.address,
      w1.address,
      w2.address,
      gates.address,
      plan.address,
      ...sizes,
    ),
    "experts",
  );
  if (h === null) return y;
  recordNode({
    operation: "experts",
    inputs: [x, w1, w2, gates],
    outputs: [y],
    saved: [x, w1, w2, gates, plan, h],
    backward(gradients) {
      const dy = gradients.of(y);
      if (dy === null) return;
      const targets = [x, w1, w2, gates].map((tensor) => gradients.into(tensor));
      const [dx, dw1, dw2, dgates] = targets;
      k.check(
        k.symbols.remoe_experts_gradient(
          k.handle,
          dx?.tensor.address ?? 0n,
          dw1?.tensor.address ?? 0n,
          dw2?.tensor.address ?? 0n,
          dgates?.tensor.address ?? 0n,
          dy.address,
          h.address,
          x.address,
          w1.address,
          w2.address,
          gates.address,
          plan.address,
          ...sizes,
          targets.reduce((mask, target, i) => mask | (target?.accumulate ?? 0) << i, 0),
        ),
        "gradient of experts",
      );
    },
  });
  return y;
}
