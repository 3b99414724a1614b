/** Mixture of Experts: routers, dispatch, experts, and the layer that joins them. @module */

export { DenseRouter, type DenseRouterOptions } from "./dense_router.ts";
export type { KeptRows } from "./kept_rows.ts";
export { MoE, type MoEOptions, type MoEResult } from "./moe.ts";
export { ReluRouter, type ReluRouterOptions } from "./relu_router.ts";
export type { Router, Routing } from "./router.ts";
export { routingOf, type RoutingOptions } from "./routing_of.ts";
export { TopKRouter, type TopKRouterOptions } from "./topk_router.ts";
