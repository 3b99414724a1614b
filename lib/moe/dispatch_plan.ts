/** The dispatch plan: which rows each expert computes, where each token's results are. @module */

import { planWords } from "../ffi/layouts.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Sorts the routed pairs of a mask by expert, tokens ascending: both CSR directions in one
 * i32 buffer, in the layout documented in kernels/include/remoe.h.
 *
 * By default the capacity is E·T rows, so a plan never overflows: in its first steps a ReLU router
 * sends nearly every token to every expert.
 */
export function dispatchPlan(
  mask: DeviceTensor<"i32">,
  tokens: number,
  experts: number,
  capacity: number = planCapacity(tokens, experts),
): DeviceTensor<"i32"> {
  const { kernels: k } = mask.memory;
  const plan = mask.memory.allocate("i32", [planWords(tokens, experts, capacity)]);
  k.check(
    k.symbols.remoe_dispatch_plan(
      k.handle,
      plan.address,
      mask.address,
      tokens,
      experts,
      capacity,
    ),
    "dispatch plan",
  );
  return plan;
}

/** Capacity of a plan in rows, E·T. */
export function planCapacity(tokens: number, experts: number): number {
  return tokens * experts;
}
