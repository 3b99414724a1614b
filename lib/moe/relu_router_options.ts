/** Settings of the ReLU router, and what its kernels take of them. @module */

import { requireOneOf, requireOptions, requireText } from "../arguments.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import {
  LAMBDA_DEFAULTS,
  type LambdaRule,
  type LambdaRuleName,
  ruleShape,
} from "../autograd/lambda_rule.ts";
import type { StepState } from "../autograd/step_state.ts";
import { ConfigError } from "../errors.ts";
import { BalanceCode, GateCode } from "../ffi/codes.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { PLACE_NAMES } from "./linear_router.ts";
import { BALANCE_NAMES, type BalanceName, GATE_NAMES, type GateName } from "./relu_names.ts";

const BALANCES: Readonly<Record<BalanceName, number>> = {
  load: BalanceCode.load,
  plain: BalanceCode.plain,
  none: BalanceCode.none,
  "load-squared": BalanceCode.loadSquared,
  transport: BalanceCode.transport,
};

const GATES: Readonly<Record<GateName, number>> = {
  relu: GateCode.relu,
  "relu-squared": GateCode.reluSquared,
  tanh: GateCode.tanh,
};

/** Settings of {@linkcode ReluRouter}. */
export interface ReluRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts, E·G under granularity. */
  experts: E;
  /** Target of active experts per token, k·G under granularity. Default 1. */
  active?: number;
  /**
   * Which L1 term: `load` weights each expert by its share of the tokens (equation 10),
   * `load-squared` by its square, `transport` by its price in a balanced transport of the tokens;
   * `plain` does not weight them (equation 9), `none` leaves the sparsity uncontrolled. Default
   * `load`.
   */
  balance?: BalanceName;
  /** Activation of the logits: `relu`, `relu-squared` or `tanh`. Default `relu`. */
  activation?: GateName;
  /**
   * Pull at every logit of an expert without tokens, as strong as an L1 term with this λ and the
   * opposite sign. Nothing else reaches such an expert. Default 0, off.
   */
  revive?: number;
  /** Initial coefficient of the L1 term, λ0. Default: that of `state`, else 1e-8. */
  lambda?: number;
  /**
   * Factor α by which λ moves in each step, at least 1; the largest one under `proportional`.
   * Default 1.2.
   */
  alpha?: number;
  /**
   * How {@linkcode ReluRouter.adapt} moves λ: `sign` (equation 7) or `proportional`. Default `sign`.
   */
  rule?: LambdaRuleName;
  /** Gain of the proportional rule. Default 0.3. */
  gain?: number;
  /** Damping of the proportional rule. Default 1. */
  damping?: number;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `gate.weight`. */
  name?: string;
  /** MoE layers of the model that share λ: the L of equation 9. Default 1. */
  layers?: number;
  /** Holds λ, shared by the layers of a model. By default the router creates its own. */
  state?: StepState;
}

/** The checked settings that the router's kernels and its λ rule take. */
export interface ReluSettings<H extends number, E extends number> {
  /** Shape of the weights, D and E. */
  readonly shape: readonly [H, E];
  readonly name: string;
  readonly deviation: number;
  /** λ0 and the state that were passed in, if any. */
  readonly given: Pick<ReluRouterOptions, "lambda" | "state">;
  /** One of `BalanceCode`. */
  readonly balance: number;
  /** One of `GateCode`. */
  readonly activation: number;
  readonly revive: number;
  readonly layers: number;
  readonly rule: Omit<LambdaRule, "tokens" | "adapt" | "floor" | "ceiling">;
}

/** Checks a router's options and completes them. Reads each once: a getter may change its mind. */
export function reluSettings<H extends number, E extends number>(
  options: ReluRouterOptions<H, E>,
): ReluSettings<H, E> {
  const operation = "build a ReLU router";
  requireOptions(operation, options, {
    ...PLACE_NAMES,
    balance: true,
    activation: true,
    revive: true,
    lambda: true,
    alpha: true,
    rule: true,
    gain: true,
    damping: true,
  });
  const { hidden, experts, active = 1, balance = "load", activation = "relu" } = options;
  const { alpha = LAMBDA_DEFAULTS.alpha, layers = 1, lambda, state, revive = 0 } = options;
  requireSizes(operation, { hidden, experts, layers });
  const { deviation = initialDeviation(hidden), name = "gate.weight" } = options;
  // Below 1 it would invert the update rule.
  requireNumbers(operation, { alpha }, { least: 1 });
  requireNumbers(
    operation,
    { lambda: lambda === undefined ? 0 : lambda, deviation, revive },
    { least: 0 },
  );
  requireText(operation, "name", name);
  requireOneOf(operation, "balance", balance, BALANCE_NAMES);
  requireOneOf(operation, "activation", activation, GATE_NAMES);
  if (!(Number.isFinite(active) && active > 0 && active <= experts)) {
    throw new ConfigError(
      `Cannot route to ${active} of ${experts} experts: active must be above 0 and at most experts`,
    );
  }
  return {
    shape: [hidden, experts],
    name,
    deviation,
    given: {
      ...(lambda === undefined ? {} : { lambda }),
      ...(state === undefined ? {} : { state }),
    },
    balance: BALANCES[balance],
    activation: GATES[activation],
    revive,
    layers,
    rule: { active, alpha, ...ruleShape(options, operation) },
  };
}
