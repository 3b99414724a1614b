/** The row of the TopK router. @module */

import { completeRow } from "../complete_row.ts";
import { routedSizes } from "../layer_sizes.ts";
import { BALANCE_KEYS, type BalanceKeys } from "./balance_keys.ts";
import { GATE_SCALE, type GateScaleKeys, scaledFootprint } from "./gate_scale.ts";
import { topkWarmup } from "./topk_warmup.ts";

/** Settings of the TopK router. */
export interface TopKKeys extends BalanceKeys, GateScaleKeys {
  /** Coefficient of the TopK router's z-loss, which keeps its logits small. */
  readonly z_coefficient: number;
  /** Whether the TopK router divides a token's gates by their sum. */
  readonly renormalize: boolean;
  /** Full-size experts per token during the TopK router's near-dense warmup; 0: no warmup. */
  readonly warmup_active: number;
  /** Optimizer steps of the TopK router's near-dense warmup. */
  readonly warmup_steps: number;
}

/** The paper's warmup (appendix H). */
const WARMUP_STEPS = 100;

/** The row of the TopK router. */
export const TOPK = completeRow<TopKKeys>({
  about: "the k largest softmax probabilities, with Switch's balance loss",
  exact: true,
  loss: {
    name: "balance_loss",
    about: "Balance loss without its coefficient",
    figure: "balance",
  },
  keys: {
    ...BALANCE_KEYS,
    z_coefficient: {
      type: "number",
      default: 0,
      about: "Coefficient of the topk router's z-loss",
    },
    renormalize: {
      type: "flag",
      default: false,
      about: "Whether the topk router divides a token's gates by their sum",
    },
    gate_scale: GATE_SCALE,
    warmup_active: {
      type: "whole",
      least: 0,
      default: 0,
      about: "Full-size experts per token in the topk router's near-dense warmup; 0: no warmup",
    },
    warmup_steps: {
      type: "whole",
      least: 0,
      default: WARMUP_STEPS,
      about: "Steps of the topk router's near-dense warmup",
    },
  },
  footprint: scaledFootprint,
  activeFrom: (moe) => {
    const most = routedSizes(moe).active;
    const warmup = topkWarmup(moe);
    return warmup === null
      ? [{ from: 0, most }]
      : [{ from: 0, most: warmup.active }, { from: warmup.steps, most }];
  },
  problems: ({ renormalize, warmup_active, ...moe }) => [
    ...(renormalize && routedSizes(moe).active === 1
      ? [
        "moe.renormalize is true, expected false where a token uses one expert: its gate would " +
        "always be 1 and the router would get no gradient",
      ]
      : []),
    ...(warmup_active !== 0 && (warmup_active < moe.active || warmup_active > moe.experts)
      ? [
        `moe.warmup_active is ${warmup_active}, expected 0 or moe.active (${moe.active}) to ` +
        `moe.experts (${moe.experts})`,
      ]
      : []),
  ],
  notices: ({ warmup_active, warmup_steps }) =>
    warmup_active === 0 && warmup_steps !== WARMUP_STEPS
      ? ["moe.warmup_steps has no effect with moe.warmup_active 0"]
      : [],
  starving: ({ balance_coefficient }) =>
    `a larger moe.balance_coefficient than ${balance_coefficient} or a lower learning rate helps`,
});
