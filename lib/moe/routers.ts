/**
 * The table of routers, one row each. The builders are in `build_router.ts`, so that configuration,
 * help and charts load no kernels.
 *
 * @module
 */

import { completeRow } from "./complete_row.ts";
import { routedSizes } from "./layer_sizes.ts";
import type { RouterKey, RouterSpec } from "./router_row.ts";
import { EXPERT_CHOICE, type ExpertChoiceKeys } from "./router_rows/expert_choice.ts";
import { GATE_SCALE, type GateScaleKeys } from "./router_rows/gate_scale.ts";
import { HASH } from "./router_rows/hash.ts";
import { RELU, type ReluKeys } from "./router_rows/relu.ts";
import { SIGMOID, type SigmoidKeys } from "./router_rows/sigmoid.ts";
import { topkWarmup } from "./router_rows/topk_warmup.ts";
import { segmentLength } from "./segments.ts";

export { LAMBDA_KEYS, type LambdaKeys } from "./lambda_keys.ts";
export type { BalanceName, GateName } from "./relu_names.ts";
export type { ReluKeys } from "./router_rows/relu.ts";

import { BALANCE_KEYS, type BalanceKeys } from "./router_rows/balance_keys.ts";
import { SPARSEMIXER, type SparseMixerKeys } from "./router_rows/sparsemixer.ts";

/** The routers of the library. */
export type RouterName =
  | "dense"
  | "topk"
  | "relu"
  | "hash"
  | "lory"
  | "sparsemixer"
  | "expert-choice"
  | "sigmoid";

/** Path of a file whose default export is a router's row. */
export type RouterPath = `${string}.${"ts" | "mts" | "js" | "mjs"}`;

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

/** The settings of all the library's routers; a configuration has all of them. */
export interface RouterSettings
  extends ReluKeys, TopKKeys, SparseMixerKeys, ExpertChoiceKeys, SigmoidKeys {}

const DENSE = completeRow<Record<never, never>>({
  about: "no experts: one feed-forward network per layer",
  routed: false,
  exact: true,
  activeFrom: () => [{ from: 0, most: 1 }],
  weights: () => 0,
  problems: ({ experts, active, granularity, shared = 0 }) =>
    Object.entries({ experts, active, granularity, shared })
      .filter(([key, value]) => value !== (key === "shared" ? 0 : 1))
      .map(([key, value]) =>
        `moe.${key} is ${value}, expected ${key === "shared" ? 0 : 1} with moe.router dense, ` +
        `which has one expert`
      ),
  starving: () => "a lower learning rate helps",
});

/** The paper's warmup (appendix H). */
const WARMUP_STEPS = 100;

const TOPK = completeRow<TopKKeys>({
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

const LORY = completeRow<Record<never, never>>({
  about: "merges the experts by softmax weights, once per segment of a sequence",
  merges: true,
  exact: true,
  activeFrom: (moe) => [{ from: 0, most: routedSizes(moe).experts }],
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

/** The row of any router; it reads the settings it needs from a configuration. */
export type AnyRouter = Omit<RouterSpec<RouterSettings>, "keys"> & {
  /** The keys of `moe` that it reads. */
  readonly keys: Readonly<Record<string, RouterKey>>;
};

/** All routers of the library; a name without a row is a compile error. */
export const ROUTERS: Readonly<Record<RouterName, AnyRouter>> = {
  dense: DENSE,
  topk: TOPK,
  relu: RELU,
  lory: LORY,
  hash: HASH,
  sparsemixer: SPARSEMIXER,
  "expert-choice": EXPERT_CHOICE,
  sigmoid: SIGMOID,
};

/** The names of the library's routers. */
export const ROUTER_NAMES: readonly RouterName[] = Object.keys(ROUTERS) as RouterName[];

/** The keys of all the library's routers, each listed once. */
export const ROUTER_KEYS: Readonly<Record<keyof RouterSettings, RouterKey>> = Object.assign(
  {},
  ...Object.values(ROUTERS).map(({ keys }) => keys),
);
