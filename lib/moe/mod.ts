/** Mixture of Experts: routers, dispatch, experts, and the layer that joins them. @module */

export { DenseRouter, type DenseRouterOptions } from "./dense_router.ts";
export type { KeptRows } from "./kept_rows.ts";
export { MoE, type MoEOptions, type MoEResult } from "./moe.ts";
export { ReluRouter, type ReluRouterOptions } from "./relu_router.ts";
export type { Router } from "./router.ts";
export type { Routing } from "./routing.ts";
export type {
  ForwardOptions,
  GenerationContext,
  RoutingContext,
  RoutingObserver,
} from "./routing_context.ts";
export type { ExpertSizes } from "./layer_sizes.ts";
export type { RouterFile } from "./router_file.ts";
export type {
  ActiveFrom,
  ChoiceKey,
  FlagKey,
  MixtureSizes,
  NumberKey,
  RouterBuild,
  RouterKey,
  RouterKeysOf,
  RouterLoss,
  RouterPlace,
  RouterRow,
  RouterSpec,
  RouterTraits,
  RouterValue,
  WholeKey,
} from "./router_row.ts";
export {
  type BalanceName,
  type GateName,
  LAMBDA_KEYS,
  type LambdaKeys,
  type ReluKeys,
  type RouterName,
  type RouterPath,
  type RouterSettings,
  type TopKKeys,
} from "./routers.ts";
export { routingOf, type RoutingOptions } from "./routing_of.ts";
export { TopKRouter, type TopKRouterOptions } from "./topk_router.ts";
