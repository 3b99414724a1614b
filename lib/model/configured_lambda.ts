/** λ's update rule under a configuration. @module */

import type { LambdaRule } from "../autograd/lambda_rule.ts";
import type { MoEConfig } from "../config/config.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/**
 * Derives λ's update rule from a configuration.
 *
 * @param moe Experts, granularity and bounds.
 * @param step Tokens of the whole optimizer step, and whether λ adapts.
 * @returns The rule.
 */
export function configuredLambda(
  moe: MoEConfig,
  step: Pick<LambdaRule, "tokens" | "adapt">,
): LambdaRule {
  return {
    ...step,
    active: routedSizes(moe).active,
    alpha: moe.lambda_rule === "proportional" ? moe.lambda_limit : moe.alpha,
    floor: moe.lambda_floor,
    ceiling: moe.lambda_ceiling,
    rule: moe.lambda_rule,
    gain: moe.lambda_gain,
    damping: moe.lambda_damping,
  };
}
