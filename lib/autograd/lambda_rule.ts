/** The rule by which λ follows the sparsity, checked. @module */

import { requireNumbers, requireOneOf, requireOptions, requireSizes } from "../arguments.ts";
import { ConfigError } from "../errors.ts";

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

/** A rule for so many experts, or an error that says what is wrong with it. */
export function lambdaRuleOf(rule: LambdaRule, experts: number): LambdaRule {
  requireOptions("update λ", rule);
  const { active, tokens, alpha, floor, ceiling, adapt } = rule;
  requireOneOf("update λ", "adapt", adapt, [true, false]);
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
