/** The TopK router's near-dense warmup in a configuration. @module */

import { type ExpertSizes, routedSizes } from "../layer_sizes.ts";

/**
 * Converts the warmup from full-size experts to routed ones.
 *
 * @param moe Sizes, and the warmup in full-size experts.
 * @returns Experts of width `ffn / G` that the router activates per token, and for how many steps;
 * null without a warmup.
 */
export function topkWarmup(
  { warmup_active, warmup_steps, ...moe }: ExpertSizes & {
    readonly warmup_active: number;
    readonly warmup_steps: number;
  },
): { readonly active: number; readonly steps: number } | null {
  if (warmup_active === 0 || warmup_steps === 0) return null;
  return { active: routedSizes({ ...moe, active: warmup_active }).active, steps: warmup_steps };
}
