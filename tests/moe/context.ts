/** The context of one sequence, for tests that call routers themselves. @module */

import type { Device, RoutingContext } from "../../mod.ts";

/** One sequence of `count` tokens with ids 0, 1, 2, …, in training from step 0 on. */
export function contextOf(
  device: Device,
  count: number,
  given: Partial<RoutingContext> = {},
): RoutingContext {
  return {
    tokens: device.tokens(Array.from({ length: count }, (_, id) => id)),
    sequence: count,
    training: true,
    step: 0,
    layer: 0,
    generation: null,
    ...given,
  };
}
