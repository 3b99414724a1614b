/** Widths of the networks in a model's layers, and which layers have experts. @module */

import type { ModelConfig, MoEConfig } from "./config.ts";

/** The keys that the widths follow from; those that came later may be absent. */
export interface WidthKeys {
  readonly model: Pick<ModelConfig, "layers" | "ffn">;
  readonly moe:
    & Pick<MoEConfig, "granularity">
    & Partial<Pick<MoEConfig, "shared" | "shared_ffn" | "dense_layers" | "dense_ffn">>;
}

/** Width of all of a layer's shared experts together; 0 without any. */
export function sharedWidth({ model, moe }: WidthKeys): number {
  return moe.shared_ffn ?? (moe.shared ?? 0) * (model.ffn / moe.granularity);
}

/** Width of the dense network in a layer without experts. */
export function denseWidth({ model, moe }: WidthKeys): number {
  return moe.dense_ffn ?? model.ffn;
}

/** Number of layers without experts in a model that has some. */
export function denseLayers({ moe }: Pick<WidthKeys, "moe">): number {
  return moe.dense_layers?.length ?? 0;
}

/**
 * Number of layers with experts, or with the single network of a dense model: those that have a
 * routing, and figures of it.
 */
export function routedLayers(config: WidthKeys): number {
  return config.model.layers - denseLayers(config);
}

/** Number of a layer among those with experts; null for one without. */
export function routedIndex({ moe }: Pick<WidthKeys, "moe">, layer: number): number | null {
  const dense = moe.dense_layers ?? [];
  if (dense.includes(layer)) return null;
  return layer - dense.filter((each) => each < layer).length;
}

/** Width that a token uses in a layer, the mean over the layers. */
export function activeWidth(
  config: WidthKeys & { readonly moe: Pick<MoEConfig, "active"> },
): number {
  const { model, moe } = config;
  const dense = denseLayers(config);
  const routed = moe.active * model.ffn + (moe.shared_ffn ?? 0);
  if (dense === 0) return routed;
  return (routedLayers(config) * routed + dense * denseWidth(config)) / model.layers;
}
