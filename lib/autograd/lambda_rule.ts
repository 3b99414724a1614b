/**
 * The rule by which λ follows the sparsity, equation 7. Training updates λ on the device from
 * counts, by `remoe_state_update_lambda`; a router used on its own updates it here, from a sparsity
 * that the caller measured.
 *
 * @module
 */

import { requireFlag, requireOptions } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";

/** Constants of λ's update rule, equation 7. */
export interface LambdaRule {
  /** Target number of active experts per token, k·G. */
  readonly active: number;
  /** Tokens in the optimizer step. */
  readonly tokens: number;
  /** Factor by which λ moves. */
  readonly alpha: number;
  /** Lower bound of λ. */
  readonly floor: number;
  /** Upper bound of λ. */
  readonly ceiling: number;
  /** Whether to move λ; if false, only the statistics are summed up. */
  readonly adapt: boolean;
}

/**
 * Defaults of the rule. The paper sets no bounds, but without a floor λ keeps shrinking while the
 * language-model loss alone closes gates, and then takes as many steps to recover.
 */
export const LAMBDA_DEFAULTS = {
  /** Factor by which λ moves. */
  alpha: 1.2,
  /** The floor is the initial λ divided by this. */
  floorDivisor: 100,
  /** Upper bound of λ. */
  ceiling: 1e4,
} as const;

/**
 * Returns the target sparsity, 1 - k/E of equation 7. Granularity does not change it: it multiplies
 * both numbers.
 *
 * @param sizes Active experts per token and experts per layer.
 * @returns A number from 0 to 1.
 */
export function targetSparsity(
  { active, experts }: { readonly active: number; readonly experts: number },
): number {
  return 1 - active / experts;
}

/**
 * Moves λ by a measured sparsity; at the target it stays the same.
 *
 * @param lambda λ of the step.
 * @param sparsity Sparsity of the step, over all of its tokens.
 * @param rule Target, factor and bounds.
 * @param experts Experts per layer.
 * @returns λ of the next step.
 */
export function movedLambda(
  lambda: number,
  sparsity: number,
  { active, alpha, floor, ceiling }: Omit<LambdaRule, "tokens" | "adapt">,
  experts: number,
): number {
  const target = targetSparsity({ active, experts });
  const moved = sparsity < target ? lambda * alpha : sparsity > target ? lambda / alpha : lambda;
  return Math.min(Math.max(moved, floor), ceiling);
}

/** Checks a rule for layers of `experts` experts. */
export function lambdaRuleOf(rule: LambdaRule, experts: number): LambdaRule {
  requireOptions("update λ", rule);
  const { active, tokens, alpha, floor, ceiling, adapt } = rule;
  requireFlag("update λ", "adapt", adapt);
  requireNumbers("update λ", { active }, { above: 0 });
  requireSizes("update λ", { tokens });
  // Below 1 it would invert the rule.
  requireNumbers("update λ", { alpha }, { least: 1 });
  requireNumbers("update λ", { floor, ceiling }, { least: 0 });
  if (active > experts) {
    throw new ConfigError(
      `Cannot update λ: active is ${active}, expected at most the ${experts} experts`,
    );
  }
  if (floor > ceiling) {
    throw new ConfigError(
      `Cannot update λ: floor is ${floor}, expected at most the ceiling of ${ceiling}`,
    );
  }
  return { active, tokens, alpha, floor, ceiling, adapt };
}
