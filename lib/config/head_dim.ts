/** The size of a head. @module */

import type { ModelConfig } from "./config.ts";

/** Size of each query, key and value head of a configuration. */
export function headDim(
  { hidden, heads, head_dim = null }:
    & Pick<ModelConfig, "hidden" | "heads">
    & Partial<Pick<ModelConfig, "head_dim">>,
): number {
  return head_dim ?? hidden / heads;
}
