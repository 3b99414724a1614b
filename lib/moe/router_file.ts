/** Router files as described in a configuration, to be read without running them. @module */

import { FOOTPRINT, rowsWithin, STARVING } from "./complete_row.ts";
import type { RouterKey } from "./router_keys.ts";
import type { ActiveFrom, MixtureSizes, RouterSpec, RouterTraits } from "./router_row.ts";
import { routedSizes } from "./layer_sizes.ts";

/** A router file as described in a configuration; plain JSON. */
export interface RouterFile extends Omit<RouterTraits, "merges"> {
  /** SHA-256 of the file and of the local modules that it imports, in hexadecimal. */
  readonly sha256: string;
  /** The definitions of its settings. */
  readonly keys: Readonly<Record<string, RouterKey>>;
  /** Whether λ adapts to the sparsity under this configuration. */
  readonly adapts: boolean;
  /** Bounds on the active experts per token under this configuration. */
  readonly active_from: readonly ActiveFrom[];
  /** Trainable weights of one layer's router. */
  readonly weights: number;
}

/** Records as plain JSON what a row yields under a configuration. */
export function describeFile<Keys extends object>(
  sha256: string,
  spec: Omit<RouterSpec<Keys>, "keys"> & Pick<RouterFile, "keys">,
  moe: MixtureSizes & Keys,
  hidden: number,
): RouterFile {
  const { about, routed, causal, draws, exact, lambda, loss, keys } = spec;
  return {
    ...{ sha256, about, routed, causal, draws, exact, lambda, loss, keys },
    adapts: spec.adapts(moe),
    active_from: spec.activeFrom(moe),
    weights: spec.weights(hidden, routedSizes(moe).experts),
  };
}

/** Restores a file's row from its description, whose problems and notices were reported before. */
export function specOf({ adapts, active_from, weights, ...file }: RouterFile): RouterSpec {
  return {
    ...file,
    merges: false,
    adapts: () => adapts,
    activeFrom: () => active_from,
    rows: (_moe, batch) => rowsWithin(active_from, batch),
    causalFrom: () => 0,
    weights: () => weights,
    footprint: () => FOOTPRINT,
    problems: () => [],
    notices: () => [],
    starving: () => STARVING,
  };
}
