/** The row of the ReLU router. @module */

import { completeRow, STARVING } from "../complete_row.ts";
import { idleLambdaKeys, LAMBDA_KEYS, type LambdaKeys } from "../lambda_keys.ts";
import { BALANCE_NAMES, type BalanceName, GATE_NAMES, type GateName } from "../relu_names.ts";

/** Settings of the ReLU router. */
export interface ReluKeys extends LambdaKeys {
  /** The L1 term of the ReLU router. */
  readonly balance: BalanceName;
  /** Activation of the ReLU router's logits. */
  readonly activation: GateName;
  /** Pull on the logits of experts without tokens; 0: off. */
  readonly revive: number;
}

/** The row of the ReLU router. */
export const RELU = completeRow<ReluKeys>({
  about: "ReLU(x W), held at its sparsity by an adaptive L1 term",
  lambda: true,
  loss: { name: "l1_reg", about: "L_reg of equation 9 or 10, without λ", figure: "l1" },
  keys: {
    balance: {
      type: "choice",
      values: BALANCE_NAMES,
      default: "load",
      about: "L1 term of the relu router",
    },
    activation: {
      type: "choice",
      values: GATE_NAMES,
      default: "relu",
      about: "Activation of the relu router's logits",
    },
    revive: {
      type: "number",
      default: 0,
      about: "Pull of the relu router at the logits of experts without tokens",
    },
    ...LAMBDA_KEYS,
  },
  // The transport's matrix is fp64.
  footprint: ({ balance }) => ({ kept: 0, scratch: balance === "transport" ? 2 : 0 }),
  adapts: ({ balance }) => balance !== "none",
  notices: ({ balance, ...moe }) => idleLambdaKeys(moe, balance !== "none", "moe.balance none"),
  starving: ({ balance }) =>
    balance === "plain" || balance === "none" ? "moe.balance=load spreads the load" : STARVING,
});
