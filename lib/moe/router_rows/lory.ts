/** The row of the Lory router. @module */

import { completeRow } from "../complete_row.ts";
import { routedSizes } from "../layer_sizes.ts";
import { segmentLength } from "../segments.ts";

/** The row of the Lory router. */
export const LORY = completeRow<Record<never, never>>({
  about: "merges the experts by softmax weights, once per segment of a sequence",
  merges: true,
  exact: true,
  activeFrom: (moe) => [{ from: 0, most: routedSizes(moe).experts }],
  // A token runs through one network, however many were merged into it.
  rows: (_moe, { tokens }) => tokens,
  causalFrom: segmentLength,
  problems: ({ active, granularity }) =>
    Object.entries({ active, granularity })
      .filter(([, value]) => value !== 1)
      .map(([key, value]) =>
        `moe.${key} is ${value}, expected 1 with moe.router lory, which merges full-size experts ` +
        "into one per token"
      ),
  notices: () => [
    "The router lory routes the first segment of a sequence by its own mean: losses there see " +
    "what is to be predicted, and are reported apart from the causal ones",
  ],
  starving: () => "a lower learning rate or a smaller model.init_std helps",
});
