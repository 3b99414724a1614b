/** Mixture of Experts: routers, dispatch, experts, and the layer that joins them. @module */

export { DenseRouter, type DenseRouterOptions } from "./dense_router.ts";
export { ExpertChoiceRouter, type ExpertChoiceRouterOptions } from "./expert_choice_router.ts";
export type { ExpertChoiceKeys, GroupName } from "./router_rows/expert_choice.ts";
export { HashRouter, type HashRouterOptions } from "./hash_router.ts";
export type { KeptRows } from "./kept_rows.ts";
export type { PlanCapacity } from "./plan_capacity.ts";
export { LoryRouter, type LoryRouterOptions } from "./lory_router.ts";
export { MergedExperts, type MergedExpertsOptions, type MergedResult } from "./merged_experts.ts";
export type { Merging, MergingRouter } from "./merging_router.ts";
export { MoE, type MoEResult } from "./moe.ts";
export type { MoEOptions } from "./moe_options.ts";
export { ReluRouter, type ReluRouterOptions } from "./relu_router.ts";
export type { Router } from "./router.ts";
export type { Routing } from "./routing.ts";
export type {
  ForwardOptions,
  GenerationContext,
  RouterMemory,
  RoutingContext,
  RoutingObserver,
} from "./routing_context.ts";
export type { ExpertSizes } from "./layer_sizes.ts";
export type { RouterFile } from "./router_file.ts";
export type { RouterFootprint } from "./router_footprint.ts";
export type {
  ChoiceKey,
  FlagKey,
  NumberKey,
  RouterKey,
  RouterKeysOf,
  RouterValue,
  WholeKey,
} from "./router_keys.ts";
export type {
  ActiveFrom,
  MixtureSizes,
  RoutedBatch,
  RouterBuild,
  RouterLoss,
  RouterPlace,
  RouterRow,
  RouterSpec,
  RouterTraits,
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
export type { GateRegularization } from "./gate_regularization.ts";
export { routingOf, type RoutingOptions } from "./routing_of.ts";
export type { GateScaleKeys } from "./router_rows/gate_scale.ts";
export type { NormalizeName, SigmoidKeys } from "./router_rows/sigmoid.ts";
export { SigmoidRouter, type SigmoidRouterOptions } from "./sigmoid_router.ts";
export type { BalanceKeys } from "./router_rows/balance_keys.ts";
export type { SparseMixerKeys } from "./router_rows/sparsemixer.ts";
export { SparseMixerRouter, type SparseMixerRouterOptions } from "./sparsemixer_router.ts";
export { TopKRouter, type TopKRouterOptions, type TopKWarmup } from "./topk_router.ts";
