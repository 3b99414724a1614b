/** The row of the SparseMixer router. @module */

import { completeRow } from "../complete_row.ts";
import { routedSizes } from "../layer_sizes.ts";
import { BALANCE_KEYS, type BalanceKeys } from "./balance_keys.ts";

/** Settings of the SparseMixer router. */
export interface SparseMixerKeys extends BalanceKeys {
  /**
   * How far below the largest logit, relative to its size, the SparseMixer router still draws:
   * up to twice this. 1 or more leaves no expert out.
   */
  readonly jitter: number;
}

/** The row of the SparseMixer router. */
export const SPARSEMIXER = completeRow<SparseMixerKeys>({
  about: "SparseMixer-v2: experts drawn from the softmax of the largest logits",
  draws: true,
  exact: true,
  loss: {
    name: "balance_loss",
    about: "Balance loss without its coefficient",
    figure: "balance",
  },
  keys: {
    ...BALANCE_KEYS,
    jitter: {
      type: "number",
      above: 0,
      default: 0.1,
      about: "Half the relative gap to the largest logit within which sparsemixer draws experts",
    },
  },
  activeFrom: (moe) => [{ from: 0, most: routedSizes(moe).active }],
  // The draws [T, k, E + 1].
  footprint: (moe) => {
    const { active, experts } = routedSizes(moe);
    return { kept: 1, scratch: active * (experts + 1) / experts };
  },
  starving: ({ balance_coefficient }) =>
    `a larger moe.balance_coefficient than ${balance_coefficient} or a larger moe.jitter helps`,
});
