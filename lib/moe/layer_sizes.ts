/** The sizes of an MoE layer under granularity and shared experts. @module */

/** What a configuration says of a layer's experts, in full-size ones. */
export interface ExpertSizes {
  /** Full-size experts per layer, E. */
  readonly experts: number;
  /** Full-size experts per token on average, k. */
  readonly active: number;
  /** Number of parts each expert is split into, G. */
  readonly granularity: number;
  /** Experts of width `ffn / G` that every token uses besides; they count in `active`. Default 0. */
  readonly shared?: number;
}

/** What a router chooses among, in experts of width `ffn / G`. */
export interface RoutedSizes {
  /** Experts of the layer, E·G. */
  readonly experts: number;
  /** Experts that the router is to activate per token, k·G less the shared ones. */
  readonly active: number;
}

/**
 * Counts the experts that a layer's router chooses among.
 *
 * @param moe Sizes in full-size experts.
 * @returns E·G.
 */
export function routedExperts(
  { experts, granularity }: Pick<ExpertSizes, "experts" | "granularity">,
): number {
  return experts * granularity;
}

/**
 * Counts the experts of a layer that are routed.
 *
 * Shared experts (DeepSeekMoE) take their share of the active width, so that a token's work does
 * not depend on their number: k·G - s experts are left for the router.
 *
 * @param moe Sizes in full-size experts.
 * @returns Sizes in experts of width `ffn / G`.
 */
export function routedSizes(
  { experts, active, granularity, shared = 0 }: ExpertSizes,
): RoutedSizes {
  return {
    experts: routedExperts({ experts, granularity }),
    active: active * granularity - shared,
  };
}
