/**
 * The rule by which λ follows the sparsity, equation 7. Training moves λ on the device, by counts and
 * `remoe_state_update_lambda`; a router alone moves it here, by a sparsity that its owner measured.
 *
 * @module
 */

import { requireFlag, requireOptions } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";

/** Constants of the rule of λ, equation 7. */
export interface LambdaRule {
  /** Active experts wanted for each token, k·G. */
  readonly active: number;
  /** Tokens of the whole optimizer step. */
  readonly tokens: number;
  /** Factor by which λ moves. */
  readonly alpha: number;
  /** Least λ. */
  readonly floor: number;
  /** Greatest λ. */
  readonly ceiling: number;
  /** False leaves λ and only sums up the statistics. */
  readonly adapt: boolean;
}

/**
 * What λ's rule is unless told otherwise. The paper has no bounds; without a floor λ winds down while
 * the language model alone closes gates, and then takes as many steps to come back.
 */
export const LAMBDA_DEFAULTS = {
  /** Factor by which λ moves. */
  alpha: 1.2,
  /** The floor is λ at the start divided by this. */
  floorDivisor: 100,
  /** Greatest λ. */
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
 * Moves λ by a measured sparsity; at the target it stays.
 *
 * @param lambda λ of the step.
 * @param sparsity Sparsity of the step, over all of its tokens.
 * @param rule Target, factor and bounds.
 * @param experts Experts of a layer.
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

/** A rule for so many experts, or an error that says what is wrong with it. */
export function lambdaRuleOf(rule: LambdaRule, experts: number): LambdaRule {
  requireOptions("update λ", rule);
  const { active, tokens, alpha, floor, ceiling, adapt } = rule;
  requireFlag("update λ", "adapt", adapt);
  requireNumbers("update λ", { active }, { above: 0 });
  requireSizes("update λ", { tokens });
  // Below 1 it would turn the rule round.
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
