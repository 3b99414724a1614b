/** The setting shared by the routers with Switch's balance loss. @module */

import type { RouterKeysOf } from "../router_keys.ts";

/** Settings of Switch's balance loss. */
export interface BalanceKeys {
  /** Coefficient of Switch's balance loss, which the TopK and SparseMixer routers add. */
  readonly balance_coefficient: number;
}

/** The keys of Switch's balance loss; spread them into the keys of a router that has it. */
export const BALANCE_KEYS: RouterKeysOf<BalanceKeys> = {
  balance_coefficient: {
    type: "number",
    default: 0.01,
    about: "Coefficient of the balance term of topk and sparsemixer",
  },
};
