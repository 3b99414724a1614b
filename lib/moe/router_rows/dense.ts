/** The row of the dense model. @module */

import { completeRow } from "../complete_row.ts";

/** The row of the dense model. */
export const DENSE = completeRow<Record<never, never>>({
  about: "no experts: one feed-forward network per layer",
  routed: false,
  exact: true,
  activeFrom: () => [{ from: 0, most: 1 }],
  weights: () => 0,
  footprint: () => ({ kept: 0, scratch: 0 }),
  problems: ({ experts, active, granularity, shared = 0 }) =>
    Object.entries({ experts, active, granularity, shared })
      .filter(([key, value]) => value !== (key === "shared" ? 0 : 1))
      .map(([key, value]) =>
        `moe.${key} is ${value}, expected ${key === "shared" ? 0 : 1} with moe.router dense, ` +
        `which has one expert`
      ),
  starving: () => "a lower learning rate helps",
});
