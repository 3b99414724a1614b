/**
 * The rules by which λ follows the sparsity: equation 7, or proportional control. Training updates λ on the device from
 * counts, by `remoe_state_update_lambda`; a router used on its own updates it here, from a sparsity
 * that the caller measured.
 *
 * @module
 */

import { requireFlag, requireOneOf, requireOptions } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";

/**
 * How λ follows the sparsity. `sign` is equation 7: times α or divided by it, however far the
 * sparsity is from its target. `proportional` moves log λ in proportion to the relative excess of
 * active pairs, so that λ comes to rest at the target.
 */
export type LambdaRuleName = "sign" | "proportional";

/** Constants of λ's update rule. */
export interface LambdaRule {
  /** Target number of active experts per token, k·G. */
  readonly active: number;
  /** Tokens in the optimizer step. */
  readonly tokens: number;
  /** Factor by which λ moves; the largest one under `proportional`. */
  readonly alpha: number;
  /** Lower bound of λ. */
  readonly floor: number;
  /** Upper bound of λ. */
  readonly ceiling: number;
  /** Whether to move λ; if false, only the statistics are summed up. */
  readonly adapt: boolean;
  /** How λ moves. Default `sign`. */
  readonly rule?: LambdaRuleName;
  /**
   * Change of log λ per unit of excess, the active pairs relative to their target, minus 1. Only
   * `proportional` reads it. Default 0.3.
   */
  readonly gain?: number;
  /**
   * Change of log λ per unit by which the excess grew since the last step, which damps
   * oscillation. Only `proportional` reads it. Default 1.
   */
  readonly damping?: number;
}

/**
 * Defaults of the rule. The paper sets no bounds, but without a floor λ keeps shrinking while the
 * language-model loss alone closes gates, and then takes as many steps to recover.
 */
export const LAMBDA_DEFAULTS = {
  /** Factor by which λ moves. */
  alpha: 1.2,
  /** Equation 7. */
  rule: "sign",
  /** Gain of proportional control. */
  gain: 0.3,
  /** Damping of proportional control. */
  damping: 1,
  /** Largest factor by which proportional control moves λ. */
  limit: 1.5,
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

/** λ, and what proportional control keeps from step to step. */
export interface LambdaState {
  /** λ of the step. */
  readonly lambda: number;
  /** Active pairs relative to their target, minus 1, in the previous step; 0 before the first. */
  readonly excess: number;
}

/**
 * Moves λ by a measured sparsity. At the target, `sign` leaves it the same.
 *
 * @param state λ of the step and the previous excess.
 * @param sparsity Sparsity of the step, over all of its tokens.
 * @param rule Target, factor and bounds.
 * @param experts Experts per layer.
 * @returns The state of the next step.
 */
export function movedLambda(
  { lambda, excess }: LambdaState,
  sparsity: number,
  rule: Omit<LambdaRule, "tokens" | "adapt">,
  experts: number,
): LambdaState {
  const { active, alpha, floor, ceiling } = rule;
  const { gain = LAMBDA_DEFAULTS.gain, damping = LAMBDA_DEFAULTS.damping } = rule;
  const within = (moved: number): number => Math.min(Math.max(moved, floor), ceiling);
  if (rule.rule !== "proportional") {
    const target = targetSparsity({ active, experts });
    const moved = sparsity < target ? lambda * alpha : sparsity > target ? lambda / alpha : lambda;
    return { lambda: within(moved), excess };
  }
  const now = (experts * (1 - sparsity)) / active - 1;
  const factor = Math.exp(gain * now + damping * (now - excess));
  return { lambda: within(lambda * Math.min(Math.max(factor, 1 / alpha), alpha)), excess: now };
}

/** Checks a rule for layers of `experts` experts. */
export function lambdaRuleOf(rule: LambdaRule, experts: number): Required<LambdaRule> {
  requireOptions("update λ", rule);
  const { active, tokens, alpha, floor, ceiling, adapt } = rule;
  const { rule: name, gain, damping } = ruleShape(rule, "update λ");
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
  return { active, tokens, alpha, floor, ceiling, adapt, rule: name, gain, damping };
}

/** Checks and completes what distinguishes the rules. */
export function ruleShape(
  { rule = LAMBDA_DEFAULTS.rule, gain = LAMBDA_DEFAULTS.gain, damping = LAMBDA_DEFAULTS.damping }:
    Pick<LambdaRule, "rule" | "gain" | "damping">,
  operation: string,
): { rule: LambdaRuleName; gain: number; damping: number } {
  requireOneOf(operation, "rule", rule, ["sign", "proportional"]);
  requireNumbers(operation, { gain, damping }, { least: 0 });
  return { rule, gain, damping };
}
