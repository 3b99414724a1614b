/**
 * How many rows a layer's experts get from a micro-batch.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { mostActive, routerOf } from "../moe/router_of.ts";
import { tokensOf } from "./kept_bytes.ts";

/** Routed rows per layer and micro-batch, at both ends of a run. */
export interface LayerRows {
  /** Upper bound for the first step: with a ReLU router's gates open, all (token, expert) pairs. */
  readonly dense: number;
  /** At the target sparsity. */
  readonly sparse: number;
}

/**
 * Counts the routed rows per layer and micro-batch.
 *
 * @param config The full configuration.
 * @returns The rows; both counts are the same for routers that are sparse from the start.
 */
export function layerRows(config: TrainConfig): LayerRows {
  const { moe } = config;
  const tokens = tokensOf(config);
  const sparse = routedSizes(moe).active * tokens;
  const router = routerOf(moe);
  // A token runs through one merged network, however many experts are merged. A router's bound is a
  // mean over tokens, and need not be whole.
  const dense = router.merges ? sparse : Math.ceil(mostActive(router, moe, 0) * tokens);
  return { dense, sparse };
}
