/** Settings of the rule that adapts λ, shared by every router with a λ. @module */

import { LAMBDA_DEFAULTS, type LambdaRuleName } from "../autograd/lambda_rule.ts";
import type { RouterKeysOf } from "./router_keys.ts";

/** Settings of the rule that adapts λ to the sparsity. */
export interface LambdaKeys {
  /** λ at the first step. */
  readonly lambda0: number;
  /** Factor by which λ is multiplied or divided after each step. */
  readonly alpha: number;
  /** Lower bound of λ, by default `lambda0 / 100`. The paper has none. */
  readonly lambda_floor: number;
  /** Upper bound of λ. The paper has none. */
  readonly lambda_ceiling: number;
  /** How λ moves: `sign` is equation 7, `proportional` moves log λ by the relative excess. */
  readonly lambda_rule: LambdaRuleName;
  /** Gain of the proportional rule. */
  readonly lambda_gain: number;
  /** Damping of the proportional rule. */
  readonly lambda_damping: number;
  /** Largest factor by which the proportional rule moves λ in a step. */
  readonly lambda_limit: number;
}

/** The keys of λ's rule, to be spread into the keys of every router with a λ. */
export const LAMBDA_KEYS: RouterKeysOf<LambdaKeys> = {
  lambda0: { type: "number", above: 0, default: 1e-8, about: "Lambda at the first step" },
  alpha: {
    type: "number",
    above: 1,
    default: LAMBDA_DEFAULTS.alpha,
    about: "Factor by which lambda is multiplied or divided after each step",
  },
  lambda_floor: {
    type: "number",
    default: { of: "lambda0", dividedBy: LAMBDA_DEFAULTS.floorDivisor },
    about: "Lower bound of lambda",
  },
  lambda_ceiling: {
    type: "number",
    above: 0,
    default: LAMBDA_DEFAULTS.ceiling,
    about: "Upper bound of lambda",
  },
  lambda_rule: {
    type: "choice",
    values: ["sign", "proportional"],
    default: LAMBDA_DEFAULTS.rule,
    about: "How lambda follows the sparsity",
  },
  lambda_gain: {
    type: "number",
    default: LAMBDA_DEFAULTS.gain,
    about: "Gain of lambda's proportional rule",
  },
  lambda_damping: {
    type: "number",
    default: LAMBDA_DEFAULTS.damping,
    about: "Damping of lambda's proportional rule",
  },
  lambda_limit: {
    type: "number",
    above: 1,
    default: LAMBDA_DEFAULTS.limit,
    about: "Largest factor of lambda's proportional rule per step",
  },
};

/**
 * Lists the settings of λ that have no effect.
 *
 * @param moe The settings.
 * @param adapts Whether λ adapts at all.
 * @param why What switches off all of them.
 * @returns One sentence per setting.
 */
export function idleLambdaKeys(moe: LambdaKeys, adapts: boolean, why: string): string[] {
  const changed = (names: readonly (keyof LambdaKeys)[], reason: string): string[] =>
    names.filter((name) => moe[name] !== LAMBDA_KEYS[name].default)
      .map((name) => `moe.${name} has no effect with ${reason}`);
  const proportional = ["lambda_gain", "lambda_damping", "lambda_limit"] as const;
  if (!adapts) {
    return changed(["lambda0", "alpha", "lambda_ceiling", "lambda_rule", ...proportional], why);
  }
  return moe.lambda_rule === "proportional"
    ? changed(["alpha"], "moe.lambda_rule proportional")
    : changed(proportional, "moe.lambda_rule sign");
}
