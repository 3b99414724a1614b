/** A layer's part of a cache, and the check that a cache fits a model. @module */

import { shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import type { Real } from "../tensor/dtype.ts";
import { KeyValueCache, type ModelSizes, modelSizesOf } from "./key_value_cache.ts";
import type { NewTokens } from "./new_tokens.ts";

/** A layer's part of a cache, and the rows of it that the current tokens are added to. */
export interface LayerCache<R extends Real = "f32"> extends NewTokens {
  /** The cache. */
  readonly cache: KeyValueCache<R>;
  /** Index of the layer. */
  readonly layer: number;
}

/**
 * Throws unless `cache` is a cache for a model of these sizes. A single attention layer does not
 * know the number of layers and leaves it out.
 */
export function requireCacheFor(
  operation: string,
  model: Omit<ModelSizes<Real>, "layers"> & Partial<ModelSizes<Real>>,
  cache: unknown,
): void {
  if (!(cache instanceof KeyValueCache)) {
    throw new TypeError(
      `Cannot ${operation} with ${shown(cache)} as its cache: model.openCache() makes one`,
    );
  }
  const { layers, groups, headDim, dtype } = modelSizesOf(cache);
  const { layers: wanted = layers } = model;
  if (dtype !== model.dtype) {
    throw new ConfigError(
      `Cannot ${operation} with a cache of ${dtype}: the model computes in ${model.dtype}; ` +
        `model.openCache() makes one that fits`,
    );
  }
  if (layers === wanted && groups === model.groups && headDim === model.headDim) return;
  throw new ConfigError(
    `Cannot ${operation} with a cache of ${layers} layers, ${groups} groups and heads of size ` +
      `${headDim}: the model has ${wanted}, ${model.groups} and ${model.headDim}; ` +
      `model.openCache() makes one that fits`,
  );
}
