/**
 * The table of routers, one row each, from `router_rows`. The builders are in `build_router.ts`, so
 * that configuration, help and charts load no kernels.
 *
 * @module
 */

import type { RouterKey } from "./router_keys.ts";
import type { RouterSpec } from "./router_row.ts";
import { DENSE } from "./router_rows/dense.ts";
import { EXPERT_CHOICE, type ExpertChoiceKeys } from "./router_rows/expert_choice.ts";
import { HASH } from "./router_rows/hash.ts";
import { LORY } from "./router_rows/lory.ts";
import { RELU, type ReluKeys } from "./router_rows/relu.ts";
import { SIGMOID, type SigmoidKeys } from "./router_rows/sigmoid.ts";
import { SPARSEMIXER, type SparseMixerKeys } from "./router_rows/sparsemixer.ts";
import { TOPK, type TopKKeys } from "./router_rows/topk.ts";

export { LAMBDA_KEYS, type LambdaKeys } from "./lambda_keys.ts";
export type { BalanceName, GateName } from "./relu_names.ts";
export type { ReluKeys } from "./router_rows/relu.ts";
export type { TopKKeys } from "./router_rows/topk.ts";

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

/** The settings of all the library's routers; a configuration has all of them. */
export interface RouterSettings
  extends ReluKeys, TopKKeys, SparseMixerKeys, ExpertChoiceKeys, SigmoidKeys {}

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
