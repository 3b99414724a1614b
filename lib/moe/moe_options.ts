/** Settings of the layers with experts. @module */

import type { StepState } from "../autograd/step_state.ts";
import type { Real } from "../tensor/dtype.ts";
import type { KeptRows } from "./kept_rows.ts";
import type { PlanCapacity } from "./plan_capacity.ts";
import type { Router } from "./router.ts";

/** Settings of an MoE layer. */
export interface MoEOptions<
  H extends number = number,
  E extends number = number,
  R extends Real = "f32",
> {
  /** Decides which experts each token goes to; the caller disposes of it. */
  router: Router<H, E>;
  /** Size of a token's hidden state. */
  hidden: NoInfer<H>;
  /** Width of one expert: the dense width divided by the granularity. */
  width: number;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Same, for the down projections. Default `deviation` / √2, the paper's for one layer. */
  outputDeviation?: number;
  /** Prefix of the weights' names in checkpoints. Default `experts`. */
  name?: string;
  /** Accumulates the routing statistics while a tape records. */
  state?: StepState;
  /** Index of this layer in `state`. Default 0. */
  layer?: number;
  /** How many routed rows keep their pre-activations for the backward pass. Default all. */
  kept?: KeptRows;
  /** How many rows a micro-batch may route; anything but `full` needs a `state`. Default `full`. */
  capacity?: PlanCapacity;
  /**
   * The type that the experts compute in; their weights are kept in fp32 besides, and gates and the
   * router's weights are always fp32. Default `f32`.
   */
  dtype?: R;
}
