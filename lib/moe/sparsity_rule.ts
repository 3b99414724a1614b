/** Bounds of λ, the coefficient that holds sparsity at its target. @module */

/**
 * Keeps λ within [λ0/100, 10⁴]. The paper has no bounds; without a floor λ winds down while
 * the language model alone closes gates, and then takes as many steps to come back.
 */
export function clampLambda(lambda: number, lambda0: number): number {
  return Math.min(Math.max(lambda, lambda0 * 1e-2), 1e4);
}
