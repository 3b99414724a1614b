/** The result of routing: gates and their statistics. @module */

import type { Tensor } from "../tensor/tensor.ts";

/**
 * The result of routing: the gates, and statistics derived from them.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, ReluRouter, type Routing } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 16, experts: 4 });
 * const routing: Routing<32, number> = router.route(device.normal([32, 16]));
 * assert(routing.gates.shape.join() === "32,4" && routing.counts.shape.join() === "4");
 * assert(await routing.sparsity() < 1 && await routing.regularization() > 0);
 * ```
 */
export interface Routing<T extends number = number, E extends number = number> {
  /**
   * Gates `[T, E]`; 0 where a token is not routed, though a routed pair's gate may be 0 too.
   * Gradients flow back through them.
   */
  readonly gates: Tensor<"f32", readonly [T, E]>;
  /** Number of tokens per expert. */
  readonly counts: Tensor<"i32", readonly [E]>;
  /**
   * Fraction of token–expert pairs that are not routed: equation 8 for this layer alone.
   *
   * @returns A number from 0 to 1.
   */
  sparsity(): Promise<number>;
  /**
   * The router's regularisation term on these tokens, without its coefficient: equation 9 or 10 for
   * ReLU routing, the Switch balance loss for TopK and SparseMixer, 0 for routers without one.
   *
   * @returns A number of at least 0.
   */
  regularization(): Promise<number>;
}
