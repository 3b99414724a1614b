/** The rule of λ as a configuration states it. @module */

import type { LambdaRule } from "../autograd/lambda_rule.ts";
import type { MoEConfig } from "../config/config.ts";

/**
 * Gives the rule of λ, equation 7, for the layers of a configuration.
 *
 * @param moe Experts, granularity and bounds.
 * @param step Tokens of the whole optimizer step, and whether λ moves.
 * @returns The rule.
 */
export function configuredLambda(
  moe: MoEConfig,
  step: Pick<LambdaRule, "tokens" | "adapt">,
): LambdaRule {
  return {
    ...step,
    active: moe.active * moe.granularity,
    alpha: moe.alpha,
    floor: moe.lambda_floor,
    ceiling: moe.lambda_ceiling,
  };
}
