/** The dispatch plan: which rows each expert computes, where each token's results are. @module */

import { planWords } from "../ffi/layouts.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Sorts the active pairs of `gates` by expert, tokens ascending: both CSR directions in one
 * i32 buffer, in the layout documented in kernels/include/remoe.h.
 *
 * By default the capacity is E·T rows, so a plan never overflows: in its first steps a ReLU router
 * sends nearly every token to every expert.
 */
export function dispatchPlan(
  gates: DeviceTensor<"f32", readonly [number, number]>,
  capacity: number = planCapacity(gates),
): DeviceTensor<"i32"> {
  const [tokens, experts] = gates.shape;
  const { kernels: k } = gates.memory;
  const plan = gates.memory.allocate("i32", [planWords(tokens, experts, capacity)]);
  k.check(
    k.symbols.remoe_dispatch_plan(
      k.handle,
      plan.address,
      gates.address,
      tokens,
      experts,
      capacity,
    ),
    "dispatch plan",
  );
  return plan;
}

/** Capacity of a plan in rows, E·T. */
export function planCapacity(gates: DeviceTensor<"f32", readonly [number, number]>): number {
  return gates.size;
}
