/** How many rows a layer's dispatch plan has room for. @module */

import { requireWhole, shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";

/**
 * Most routed rows of a layer per micro-batch while a tape records: `full`, which is every pair of a
 * token and an expert, or a number, which may be changed between steps for all layers that share the
 * object.
 *
 * A layer that routes more rows gives 0 for every token, and the step's state notes it: see
 * `overflow` of a `StepReadout`. The optimizer and λ then skip the step, which is to be taken again
 * with more room.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { DenseRouter, Device, MoE, type PlanCapacity, StepState } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using state = new StepState(device, { experts: 4 });
 * using router = new DenseRouter(device, { hidden: 16, experts: 4 });
 * const capacity = { rows: 39 } satisfies PlanCapacity;
 * using layer = new MoE(device, { router, hidden: 16, width: 32, state, capacity });
 * const overflows = () => {
 *   using _tape = device.record();
 *   state.begin();
 *   layer.forward(device.normal([10, 16]));
 *   return state.read().overflow;
 * };
 * assert(overflows());
 * capacity.rows = 40;
 * assert(!overflows());
 * ```
 */
export type PlanCapacity = "full" | {
  /** Rows per layer and micro-batch, at least 1. */
  rows: number;
};

/** Rows that a plan has room for, read and checked in every step: the caller may change them. */
export function capacityOf(operation: string, capacity: PlanCapacity): number {
  if (capacity === "full") return Infinity;
  if (typeof capacity !== "object" || capacity === null) {
    throw new ConfigError(
      `Cannot ${operation}: capacity is ${shown(capacity)}, expected full or an object with rows`,
    );
  }
  const rows: unknown = capacity.rows;
  if (rows !== Infinity) requireWhole(operation, "capacity.rows", rows, { least: 1 });
  return rows as number;
}
