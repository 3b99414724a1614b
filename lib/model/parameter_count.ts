/**
 * How many parameters a model has, and how many of them a token uses.
 *
 * @module
 */

import { requireConfig } from "../config/require.ts";
import type { ModelConfig, MoEConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";

/** Parameters of a model. */
export interface ParameterCount {
  /** All of them. */
  readonly total: number;
  /** Those that a token with `active` experts uses; both embeddings included, as in the paper. */
  readonly active: number;
  /** Input embedding and output head together; they are not tied. */
  readonly embeddings: number;
  /** Attention projections of all layers. */
  readonly attention: number;
  /** Router weights of all layers; none where the router is dense. */
  readonly routers: number;
  /** Experts of all layers. */
  readonly experts: number;
  /** RMSNorm weights, two a layer and the last one. */
  readonly norms: number;
}

/**
 * Counts a model's parameters.
 *
 * @param model The sizes of the transformer.
 * @param moe The experts.
 * @returns The counts; granularity leaves the experts' as they are and widens the router.
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
  const { layers, hidden, heads, groups, ffn, vocabulary } = model;
  const keyValue = groups * (hidden / heads);
  const expert = 3 * hidden * ffn;
  const embeddings = 2 * vocabulary * hidden;
  const attention = layers * (2 * hidden * hidden + 2 * hidden * keyValue);
  const routers = layers * routerOf(moe).weights(hidden, moe.experts * moe.granularity);
  const experts = layers * moe.experts * expert;
  const norms = (2 * layers + 1) * hidden;
  const shared = embeddings + attention + routers + norms;
  return {
    total: shared + experts,
    active: shared + layers * moe.active * expert,
    embeddings,
    attention,
    routers,
    experts,
    norms,
  };
}
