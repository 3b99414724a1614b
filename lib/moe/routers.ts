/**
 * The table of routers: one row each, without the code that builds it, so that configuration, help
 * and charts load no kernels. A router's builder stands in `build_router.ts`.
 *
 * @module
 */

import { LAMBDA_DEFAULTS } from "../autograd/lambda_rule.ts";
import type { RouterKey, RouterKeysOf, RouterSpec } from "./router_row.ts";

/** The routers of the library. */
export type RouterName = "dense" | "topk" | "relu";

/** A file whose default export is a router's row. */
export type RouterPath = `${string}.${"ts" | "mts" | "js" | "mjs"}`;

/**
 * How the ReLU router's L1 term weighs the experts: `load` by their share of tokens (equation 10
 * of the paper), `plain` all alike (equation 9), `none` without regularisation.
 */
export type BalanceName = "load" | "plain" | "none";

/** Settings of the TopK router. */
export interface TopKKeys {
  /** Coefficient of the TopK router's Switch balance term. */
  readonly balance_coefficient: number;
  /** Coefficient of the TopK router's z-loss, which keeps its logits small. */
  readonly z_coefficient: number;
  /** Whether the TopK router divides a token's gates by their sum. */
  readonly renormalize: boolean;
}

/** Settings of the rule by which λ follows the sparsity. */
export interface LambdaKeys {
  /** λ at the first step. */
  readonly lambda0: number;
  /** What λ is multiplied or divided by after each step. */
  readonly alpha: number;
  /** λ never falls below; by default `lambda0 / 100`. The paper has no such bound. */
  readonly lambda_floor: number;
  /** λ never rises above. The paper has no such bound. */
  readonly lambda_ceiling: number;
}

/** Settings of the ReLU router. */
export interface ReluKeys extends LambdaKeys {
  /** The L1 term of the ReLU router. */
  readonly balance: BalanceName;
}

/** The settings of all routers of the library; a configuration holds them all. */
export interface RouterSettings extends ReluKeys, TopKKeys {}

/** The keys of λ's rule, for every router with a λ. */
export const LAMBDA_KEYS: RouterKeysOf<LambdaKeys> = {
  lambda0: { type: "number", above: 0, default: 1e-8, about: "Lambda at the first step" },
  alpha: {
    type: "number",
    above: 1,
    default: LAMBDA_DEFAULTS.alpha,
    about: "What lambda is multiplied or divided by after each step",
  },
  lambda_floor: {
    type: "number",
    default: { of: "lambda0", dividedBy: LAMBDA_DEFAULTS.floorDivisor },
    about: "Lambda never falls below",
  },
  lambda_ceiling: {
    type: "number",
    above: 0,
    default: LAMBDA_DEFAULTS.ceiling,
    about: "Lambda never rises above",
  },
};

const DENSE: RouterSpec<Record<never, never>> = {
  about: "no experts: one feed-forward network per layer",
  ...{ routed: false, causal: true, draws: false, exact: true },
  ...{ lambda: false, loss: null },
  keys: {},
  adapts: () => false,
  activeFrom: () => [{ from: 0, most: 1 }],
  weights: () => 0,
  problems: ({ experts, active, granularity }) =>
    Object.entries({ experts, active, granularity })
      .filter(([, value]) => value !== 1)
      .map(([key, value]) =>
        `moe.${key} is ${value}, expected 1 with moe.router dense, which has one expert`
      ),
  notices: () => [],
  starving: () => "a lower learning rate helps",
};

const TOPK: RouterSpec<TopKKeys> = {
  about: "the k largest softmax probabilities, with Switch's balance loss",
  ...{ routed: true, causal: true, draws: false, exact: true },
  lambda: false,
  loss: {
    name: "balance_loss",
    about: "Balance loss without its coefficient",
    figure: "balance",
  },
  keys: {
    balance_coefficient: {
      type: "number",
      default: 0.01,
      about: "Coefficient of the topk router's balance term",
    },
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
  },
  adapts: () => false,
  activeFrom: ({ active, granularity }) => [{ from: 0, most: active * granularity }],
  weights: (hidden, experts) => hidden * experts,
  problems: ({ active, granularity, renormalize }) =>
    renormalize && active * granularity === 1
      ? [
        "moe.renormalize is true, expected false where a token uses one expert: its gate would " +
        "always be 1 and the router would get no gradient",
      ]
      : [],
  notices: () => [],
  starving: ({ balance_coefficient }) =>
    `a larger moe.balance_coefficient than ${balance_coefficient} or a lower learning rate helps`,
};

const RELU: RouterSpec<ReluKeys> = {
  about: "ReLU(x W), held at its sparsity by an adaptive L1 term",
  ...{ routed: true, causal: true, draws: false, exact: false },
  lambda: true,
  loss: { name: "l1_reg", about: "L_reg of equation 9 or 10, without λ", figure: "l1" },
  keys: {
    balance: {
      type: "choice",
      values: ["load", "plain", "none"],
      default: "load",
      about: "The L1 term of the relu router",
    },
    ...LAMBDA_KEYS,
  },
  adapts: ({ balance }) => balance !== "none",
  // Nothing bounds how many gates a token opens.
  activeFrom: ({ experts, granularity }) => [{ from: 0, most: experts * granularity }],
  weights: (hidden, experts) => hidden * experts,
  problems: () => [],
  notices: ({ balance, ...moe }) =>
    balance !== "none" ? [] : (["lambda0", "alpha", "lambda_ceiling"] as const)
      .filter((name) => moe[name] !== LAMBDA_KEYS[name].default)
      .map((name) => `moe.${name} has no effect with moe.balance none`),
  starving: ({ balance }) =>
    balance === "load"
      ? "a lower learning rate or a larger model.init_std helps"
      : "moe.balance=load spreads the load",
};

/** The row of any router, which reads what it needs of a configuration. */
export type AnyRouter = Omit<RouterSpec<RouterSettings>, "keys"> & {
  /** The keys of `moe` that it reads. */
  readonly keys: Readonly<Record<string, RouterKey>>;
};

/** All routers of the library; a name without a row does not compile. */
export const ROUTERS: Readonly<Record<RouterName, AnyRouter>> = {
  dense: DENSE,
  topk: TOPK,
  relu: RELU,
};

/** The names of all routers. */
export const ROUTER_NAMES: readonly RouterName[] = Object.keys(ROUTERS) as RouterName[];

/** The keys of all routers of the library, each once. */
export const ROUTER_KEYS: Readonly<Record<keyof RouterSettings, RouterKey>> = Object.assign(
  {},
  ...Object.values(ROUTERS).map(({ keys }) => keys),
);
