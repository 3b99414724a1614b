/**
 * Counts a model's parameters, and those that a token uses.
 *
 * @module
 */

import { requireConfig } from "../config/require.ts";
import type { ModelConfig, MoEConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { denseLayers, denseWidth, routedLayers } from "../config/layer_widths.ts";
import { routerOf } from "../moe/router_of.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** Parameters of a model. */
export interface ParameterCount {
  /** All parameters. */
  readonly total: number;
  /** Parameters used by a token with `active` experts, both embeddings included as in the paper. */
  readonly active: number;
  /** Input embedding and output head; once if they are tied. */
  readonly embeddings: number;
  /** Attention projections of all layers, with their biases. */
  readonly attention: number;
  /** Router weights of all layers, and their shared experts' gates; 0 if the router is dense. */
  readonly routers: number;
  /** Experts of all layers, and the networks of those without. */
  readonly experts: number;
  /** RMSNorm weights: two norms per layer, those of queries and keys, and the final one. */
  readonly norms: number;
}

/**
 * Counts a model's parameters.
 *
 * @param model The sizes of the transformer.
 * @param moe The experts.
 * @returns The counts; granularity does not change those of the experts, but enlarges the router.
 * @throws {ConfigError} If a size is missing or invalid.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { countParameters, parseConfig } from "@remoe/remoe/train";
 *
 * const { model, moe } = parseConfig({ preset: "nano" });
 * assertEquals(countParameters(model, moe).active, 1_054_080);
 * ```
 */
export function countParameters(model: ModelConfig, moe: MoEConfig): ParameterCount {
  requireConfig({ model, moe }, ["model", "moe"]);
  const { layers, hidden, heads, groups, ffn, vocabulary, tied, qkv_bias, qk_norm } = model;
  const size = headDim(model);
  const columns = (heads + 2 * groups) * size;
  const scales = { none: 0, full: (heads + groups) * size, head: 2 * size }[qk_norm];
  const expert = 3 * hidden * ffn;
  const embeddings = (tied ? 1 : 2) * vocabulary * hidden;
  const attention = layers *
    (hidden * (columns + heads * size) + (qkv_bias ? columns : 0));
  const routed = routedLayers({ model, moe });
  const decision = routerOf(moe).weights(hidden, routedSizes(moe).experts);
  const routers = routed * (decision + (moe.shared_gate ? hidden : 0));
  // What every token uses apart from `active`.
  const apart = 3 * hidden *
    (routed * (moe.shared_ffn ?? 0) + denseLayers({ moe }) * denseWidth({ model, moe }));
  const experts = routed * (moe.experts + moe.shared / moe.granularity) * expert + apart;
  const norms = (2 * layers + 1) * hidden + layers * scales;
  const shared = embeddings + attention + routers + norms;
  return {
    total: shared + experts,
    active: shared + routed * moe.active * expert + apart,
    embeddings,
    attention,
    routers,
    experts,
    norms,
  };
}
