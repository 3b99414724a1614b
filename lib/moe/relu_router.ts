/** ReLU routing: gates = ReLU(x W), kept sparse by an adaptive L1 term. @module */

import { shown } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { LAMBDA_DEFAULTS, type LambdaRule, movedLambda } from "../autograd/lambda_rule.ts";
import type { Parameter } from "../autograd/parameter.ts";
import {
  lambdaAddress,
  lambdaExcess,
  requireStateOn,
  setLambdaExcess,
  StepState,
} from "../autograd/step_state.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  makeRouterWeight,
  recordLinearRouter,
  routerBuffers,
  type RouterWeight,
  sumsBuffer,
} from "./linear_router.ts";
import { type ReluRouterOptions, type ReluSettings, reluSettings } from "./relu_router_options.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { expertWeights } from "./transport_weights.ts";

export type { ReluRouterOptions } from "./relu_router_options.ts";

/**
 * The router of ReMoE: `R(x) = ReLU(x W)` (equation 5). It has no softmax, no bias and no limit on
 * the number of experts per token, and is differentiable wherever a gate is positive.
 *
 * The L1 term (equations 9 to 11) enters in the backward pass, which adds λ·f_e/(L·T) to the
 * gradient of each positive gate. {@linkcode ReluRouter.adapt} moves λ towards the target sparsity.
 *
 * Without a bias, inputs symmetric around 0 open half of the gates whatever the weights are, and λ
 * rises to its bound in vain. Hidden states of a trained model are not symmetric; give synthetic
 * ones a mean, as in `device.normal(shape, { mean: 1 })`.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, ReluRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 16, experts: 4 });
 * using _scope = device.scope();
 * const routing = router.route(device.normal([32, 16]));
 * const sparsity = await routing.sparsity();
 * assert(sparsity > 0.2 && sparsity < 0.8); // about half at the start
 * assert(router.adapt(sparsity) > 1e-8); // below 1 - k/E: λ grows
 * ```
 */
export class ReluRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #weight: RouterWeight<H, E>;
  readonly #settings: ReluSettings<H, E>;
  readonly #rule: Omit<LambdaRule, "tokens" | "adapt">;
  readonly #state: StepState;
  /** The weights, and the state unless it was passed in. */
  readonly #owned: DisposableStack;

  static {
    showsItself(ReluRouter, (router) =>
      describeLayer("ReluRouter", {
        hidden: router.hidden,
        experts: router.experts,
        active: router.active,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights.
   *
   * @param device The router's device.
   * @param options Sizes, target and regularisation.
   * @throws {ConfigError} If `active` is not above 0 and at most `experts`, or a setting is out of
   * range.
   */
  constructor(device: Device, options: ReluRouterOptions<H, E>) {
    const settings = reluSettings(options);
    const { shape, name, deviation, given: { lambda, state } } = settings;
    const memory = memoryOf(device);
    if (state !== undefined) requireStateOn("route with", memory, state);
    this.#settings = settings;
    using made = new DisposableStack();
    this.#state = state ?? made.use(new StepState(device, { experts: shape[1] }));
    if (lambda !== undefined) this.#state.setLambda(lambda);
    const { floorDivisor, ceiling } = LAMBDA_DEFAULTS;
    this.#rule = { ...settings.rule, floor: this.#state.lambda / floorDivisor, ceiling };
    this.#weight = made.use(makeRouterWeight(memory, name, shape, deviation));
    this.#owned = made.move();
  }

  /** Size of a token's hidden state. */
  get hidden(): H {
    return this.#weight.shape[0];
  }

  /** Number of experts. */
  get experts(): E {
    return this.#weight.shape[1];
  }

  /** Target of active experts per token. */
  get active(): number {
    return this.#rule.active;
  }

  /** Current coefficient of the L1 term. */
  get lambda(): number {
    return this.#state.lambda;
  }

  /** The weights `[hidden, experts]`. */
  get weight(): Parameter<readonly [H, E]> {
    return this.#weight;
  }

  /**
   * Moves λ after an optimizer step (equation 7): times α if the sparsity is below its target,
   * divided by α if above, and clamped to [λ0/100, 10⁴]. The rule `proportional` moves it as
   * {@linkcode StepState.updateLambda} says.
   *
   * @param sparsity Sparsity of the step, over all of its tokens.
   * @returns The new λ.
   * @throws {RangeError} If the sparsity is not a number from 0 to 1.
   */
  adapt(sparsity: number): number {
    if (!(sparsity >= 0 && sparsity <= 1 && typeof sparsity === "number")) {
      throw new RangeError(
        `Cannot adapt λ: sparsity is ${shown(sparsity)}, expected a number from 0 to 1`,
      );
    }
    const state = { lambda: this.#state.lambda, excess: lambdaExcess(this.#state) };
    const moved = movedLambda(state, sparsity, this.#rule, this.#weight.shape[1]);
    this.#state.setLambda(moved.lambda);
    setLambdaExcess(this.#state, moved.excess);
    return moved.lambda;
  }

  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @returns Gates `activation(ReLU(x W))` and the number of tokens per expert.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
  ): Routing<T, E> {
    const { states, gates, mask, counts } = routerBuffers("route by ReLU", x, this.#weight);
    const sums = sumsBuffer(gates);
    const { shape: [tokens, experts], memory: { kernels: k } } = gates;
    const { rule: { active }, activation, revive, layers } = this.#settings;
    k.check(
      k.symbols.remoe_relu_router_forward(
        k.handle,
        DTYPE_CODE[states.dtype],
        gates.address,
        mask.address,
        counts.address,
        sums.address,
        states.address,
        this.#weight.address,
        tokens,
        this.#weight.shape[0],
        experts,
        activation,
      ),
      "route by ReLU",
    );
    const weighted = expertWeights(this.#settings.balance, gates, sums);
    const { weights } = weighted;
    recordLinearRouter(
      "reluRouter",
      states,
      this.#weight,
      gates,
      weights === null ? [counts] : [counts, weights],
      (dlogits, dgates, scale) => {
        k.check(
          k.symbols.remoe_relu_router_gradient(
            k.handle,
            dlogits.address,
            dgates.address,
            gates.address,
            counts.address,
            weights?.address ?? 0n,
            lambdaAddress(this.#state),
            this.#settings.balance,
            activation,
            active,
            scale / (layers * tokens),
            revive,
            tokens,
            experts,
          ),
          "gradient of the ReLU router",
        );
      },
    );
    return new Routed(gates, mask, counts, weighted.sums, weighted.balance, active);
  }

  /**
   * The trainable parameters: the weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#weight;
  }

  /** Frees the weights, and the state unless it was passed in. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
