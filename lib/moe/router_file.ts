/** What a configuration keeps of a router's file, so that it can be read without running it. @module */

import type {
  ActiveFrom,
  MixtureSizes,
  RouterKey,
  RouterRow,
  RouterSpec,
  RouterTraits,
} from "./router_row.ts";

/** A router's file in a configuration: plain JSON. */
export interface RouterFile extends RouterTraits {
  /** SHA-256 of the file, in hexadecimal. */
  readonly sha256: string;
  /** Its settings. */
  readonly keys: Readonly<Record<string, RouterKey>>;
  /** Whether its λ follows the sparsity under the configuration. */
  readonly adapts: boolean;
  /** How many experts it activates under the configuration. */
  readonly active_from: readonly ActiveFrom[];
  /** Trained numbers of a layer's router. */
  readonly weights: number;
}

const STARVING = "a lower learning rate or a larger model.init_std helps";

/** A whole row, of a router that says only how it differs from the usual. */
export function completeRow(row: RouterRow): RouterSpec {
  const { lambda = false } = row;
  return {
    about: row.about ?? "a router of one's own",
    routed: true,
    causal: row.causal ?? true,
    draws: row.draws ?? false,
    exact: row.exact ?? false,
    lambda,
    loss: row.loss ??
      (lambda ? { name: "l1_reg", about: "The router's L1 term, without λ", figure: "l1" } : null),
    keys: row.keys ?? {},
    adapts: (moe) => row.adapts?.(moe) ?? lambda,
    activeFrom: (moe) =>
      row.activeFrom?.(moe) ?? [{ from: 0, most: moe.experts * moe.granularity }],
    weights: (hidden, experts) => row.weights?.(hidden, experts) ?? hidden * experts,
    problems: (moe) => row.problems?.(moe) ?? [],
    notices: (moe) => row.notices?.(moe) ?? [],
    starving: (moe) => row.starving?.(moe) ?? STARVING,
  };
}

/** Writes down what a row says under a configuration. */
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
    weights: spec.weights(hidden, moe.experts * moe.granularity),
  };
}

/** The row of a file, from what was written down. Problems and notices were looked at then. */
export function specOf({ adapts, active_from, weights, ...file }: RouterFile): RouterSpec {
  return {
    ...file,
    adapts: () => adapts,
    activeFrom: () => active_from,
    weights: () => weights,
    problems: () => [],
    notices: () => [],
    starving: () => STARVING,
  };
}
