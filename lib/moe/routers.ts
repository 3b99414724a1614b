/**
 * The table of routers, one row each. The builders are in `build_router.ts`, so that configuration,
 * help and charts load no kernels.
 *
 * @module
 */

import { completeRow } from "./complete_row.ts";
import { routedSizes } from "./layer_sizes.ts";
import type { RouterKey, RouterSpec } from "./router_row.ts";
import { RELU, type ReluKeys } from "./router_rows/relu.ts";

export { LAMBDA_KEYS, type LambdaKeys } from "./lambda_keys.ts";
export type { BalanceName, GateName } from "./relu_router_options.ts";
export type { ReluKeys } from "./router_rows/relu.ts";

/** The routers of the library. */
export type RouterName = "dense" | "topk" | "relu";

/** Path of a file whose default export is a router's row. */
export type RouterPath = `${string}.${"ts" | "mts" | "js" | "mjs"}`;

/** Settings of the TopK router. */
export interface TopKKeys {
  /** Coefficient of the TopK router's Switch balance term. */
  readonly balance_coefficient: number;
  /** Coefficient of the TopK router's z-loss, which keeps its logits small. */
  readonly z_coefficient: number;
  /** Whether the TopK router divides a token's gates by their sum. */
  readonly renormalize: boolean;
}

/** The settings of all the library's routers; a configuration has all of them. */
export interface RouterSettings extends ReluKeys, TopKKeys {}

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

const TOPK = completeRow<TopKKeys>({
  about: "the k largest softmax probabilities, with Switch's balance loss",
  exact: true,
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
  activeFrom: (moe) => [{ from: 0, most: routedSizes(moe).active }],
  problems: ({ renormalize, ...moe }) =>
    renormalize && routedSizes(moe).active === 1
      ? [
        "moe.renormalize is true, expected false where a token uses one expert: its gate would " +
        "always be 1 and the router would get no gradient",
      ]
      : [],
  starving: ({ balance_coefficient }) =>
    `a larger moe.balance_coefficient than ${balance_coefficient} or a lower learning rate helps`,
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
};

/** The names of the library's routers. */
export const ROUTER_NAMES: readonly RouterName[] = Object.keys(ROUTERS) as RouterName[];

/** The keys of all the library's routers, each listed once. */
export const ROUTER_KEYS: Readonly<Record<keyof RouterSettings, RouterKey>> = Object.assign(
  {},
  ...Object.values(ROUTERS).map(({ keys }) => keys),
);
