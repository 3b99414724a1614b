/** Fills in the defaults of a router's row. @module */

import type { RouterFootprint } from "./router_footprint.ts";
import type { RouterKeysOf, RouterValue } from "./router_keys.ts";
import type { ActiveFrom, MixtureSizes, RoutedBatch, RouterSpec } from "./router_row.ts";
import { routedSizes } from "./layer_sizes.ts";

/** Default advice where experts get no tokens. */
export const STARVING = "a lower learning rate or a larger model.init_std helps";

/** Default footprint: that of a softmax, whose output is kept. */
export const FOOTPRINT: RouterFootprint = { kept: 1, scratch: 0 };

/**
 * Counts rows by the bounds on active experts.
 *
 * @param bounds The bounds.
 * @param batch A micro-batch.
 * @returns The most rows that it may have.
 */
export function rowsWithin(
  bounds: readonly ActiveFrom[],
  { tokens, step }: Pick<RoutedBatch, "tokens" | "step">,
): number {
  return tokens * bounds.findLast(({ from }) => from <= step)!.most;
}

/**
 * Completes a row that states only how its router differs from the defaults. The library's rows and
 * those of router files are written that way.
 *
 * @typeParam Keys The values of the router's settings.
 * @param row The parts of the row that are stated.
 * @returns The complete row.
 */
export function completeRow<Keys extends object = Readonly<Record<string, RouterValue>>>(
  row: Partial<RouterSpec<Keys>>,
): RouterSpec<Keys> {
  const { lambda = false } = row;
  // By default nothing bounds how many experts a token activates.
  const activeFrom = (moe: MixtureSizes & Keys): readonly ActiveFrom[] =>
    row.activeFrom?.(moe) ?? [{ from: 0, most: routedSizes(moe).experts }];
  return {
    about: row.about ?? "a user-defined router",
    routed: row.routed ?? true,
    merges: row.merges ?? false,
    causal: row.causal ?? true,
    draws: row.draws ?? false,
    exact: row.exact ?? false,
    lambda,
    loss: row.loss ??
      (lambda ? { name: "l1_reg", about: "The router's L1 term, without λ", figure: "l1" } : null),
    keys: row.keys ?? ({} as RouterKeysOf<Keys>),
    // A function in a user's row may also return nothing.
    adapts: (moe) => row.adapts?.(moe) ?? lambda,
    activeFrom,
    rows: (moe, batch) => row.rows?.(moe, batch) ?? rowsWithin(activeFrom(moe), batch),
    causalFrom: (sequence) => row.causalFrom?.(sequence) ?? 0,
    weights: (hidden, experts) => row.weights?.(hidden, experts) ?? hidden * experts,
    footprint: (moe) => row.footprint?.(moe) ?? FOOTPRINT,
    problems: (moe) => row.problems?.(moe) ?? [],
    notices: (moe) => row.notices?.(moe) ?? [],
    starving: (moe) => row.starving?.(moe) ?? STARVING,
  };
}
