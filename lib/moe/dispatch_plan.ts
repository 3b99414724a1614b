/** Which rows each expert works, and where each token's results lie. @module */

import type { DeviceTensor } from "../tensor/tensor.ts";

/** Ints at the head of a plan: rows, overflow, tokens without expert, capacity. */
export const PLAN_HEADER = 4;

/**
 * Sorts the active pairs of `gates` by expert, tokens ascending: both CSR directions in one
 * i32 buffer, laid out as kernels/include/remoe.h says.
 *
 * The capacity is E·T rows, so that it never overflows: in its first steps a ReLU router
 * sends nearly every token to every expert.
 */
export function dispatchPlan(
  gates: DeviceTensor<"f32", readonly [number, number]>,
): DeviceTensor<"i32"> {
  const [tokens, experts] = gates.shape;
  const { kernels: k } = gates.memory;
  const capacity = tokens * experts;
  const size = PLAN_HEADER + (experts + 1) + (tokens + 1) + 2 * capacity;
  const plan = gates.memory.allocate("i32", [size]);
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

/** Rows that a plan has room for. */
export function planCapacity(gates: DeviceTensor<"f32", readonly [number, number]>): number {
  return gates.size;
}
