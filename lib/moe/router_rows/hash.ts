/** The row of the hash router. @module */

import { completeRow } from "../complete_row.ts";
import { routedSizes } from "../layer_sizes.ts";

/** The row of the hash router. */
export const HASH = completeRow<Record<never, never>>({
  about: "the token's id modulo the number of experts, without weights",
  exact: true,
  activeFrom: () => [{ from: 0, most: 1 }],
  weights: () => 0,
  footprint: () => ({ kept: 0, scratch: 0 }),
  problems: (moe) => {
    const { active } = routedSizes(moe);
    return active === 1 ? [] : [
      `moe.active * moe.granularity - moe.shared is ${active}, expected 1 with moe.router hash, ` +
      `which sends each token to one expert`,
    ];
  },
  starving: () => "fewer experts help: which of them a token goes to is fixed by its id",
});
