/** TopK routing: the k largest softmax probabilities, with Switch's balance loss and a z-loss. @module */

import { requireFlag, requireOptions, requireText } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  makeRouterWeight,
  PLACE_NAMES,
  recordLinearRouter,
  requireActive,
  routerBuffers,
  type RouterWeight,
  scaledGates,
  sumsBuffer,
} from "./linear_router.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";

/** Near-dense warmup (appendix H of the paper). */
export interface TopKWarmup {
  /** Experts per token during the warmup, at least `active`. */
  active: number;
  /** Optimizer steps that it lasts; {@linkcode RoutingContext.step} counts them. */
  steps: number;
}

/** Settings of {@linkcode TopKRouter}. */
export interface TopKRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts, E·G under granularity. */
  experts: E;
  /** Experts per token, k·G under granularity. Default 1. */
  active?: number;
  /** Coefficient of Switch's balance loss, summed over layers. Default 0.01. */
  balanceCoefficient?: number;
  /**
   * Coefficient of the z-loss, summed over layers: the mean over tokens of the squared log-sum-exp
   * of the logits, which keeps logits small (ST-MoE, arXiv:2202.08906, equation 5). Default 0.
   */
  zCoefficient?: number;
  /** Whether to divide a token's gates by their sum. Default false, as in the paper. */
  renormalize?: boolean;
  /** Constant factor of the gates, after any renormalisation. Default 1, as in the paper. */
  gateScale?: number;
  /** Activates more experts during the first steps of training. Default: no warmup. */
  warmup?: TopKWarmup;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `gate.weight`. */
  name?: string;
}

/**
 * The dropless TopK router that the paper compares with: `R(x) = TopK(softmax(x W), k)`, with the
 * softmax over all experts before selection. Experts that were not selected contribute no gradient.
 * Each token gets exactly k experts, even where a probability underflows and its gate is 0.
 *
 * With a warmup, k is larger during the first steps of training. Outside training, where the
 * context's step is Infinity by default, the warmup is over. The balance loss follows the k in
 * force.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, TopKRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new TopKRouter(device, { hidden: 16, experts: 4, active: 1 });
 * using _scope = device.scope();
 * const routing = router.route(device.normal([32, 16]));
 * assert(await routing.sparsity() === 0.75); // exactly 1 - k/E
 * ```
 *
 * @example Near-dense warmup: every expert for 100 steps
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, TopKRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * const warmup = { active: 4, steps: 100 };
 * using router = new TopKRouter(device, { hidden: 16, experts: 4, active: 1, warmup });
 * using _scope = device.scope();
 * const x = device.normal([32, 16]);
 * assert(await router.route(x, { step: 99 }).sparsity() === 0);
 * assert(await router.route(x, { step: 100 }).sparsity() === 0.75);
 * ```
 */
export class TopKRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #active: number;
  readonly #weight: RouterWeight<H, E>;
  readonly #coefficient: number;
  readonly #zCoefficient: number;
  readonly #renormalize: 0 | 1;
  readonly #gateScale: number;
  readonly #warmup: Readonly<TopKWarmup>;

  static {
    showsItself(TopKRouter, (router) =>
      describeLayer("TopKRouter", {
        hidden: router.hidden,
        experts: router.experts,
        active: router.active,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights.
   *
   * @param device The router's device.
   * @param options Sizes, k, balance, warmup.
   * @throws {ConfigError} If `active` is not an integer from 1 to `experts`, `warmup.active` not one
   * from `active` to `experts`, a setting is out of range, or a single gate is to be renormalised:
   * it would always be 1, leaving the router without a gradient.
   */
  constructor(device: Device, options: TopKRouterOptions<H, E>) {
    requireOptions("build a TopK router", options, {
      ...PLACE_NAMES,
      balanceCoefficient: true,
      zCoefficient: true,
      renormalize: true,
      gateScale: true,
      warmup: true,
    });
    const { hidden, experts, active = 1, renormalize = false } = options;
    const { balanceCoefficient = 0.01, zCoefficient = 0, name = "gate.weight" } = options;
    const { gateScale = 1, warmup = { active, steps: 0 } } = options;
    requireSizes("build a TopK router", { hidden, experts });
    const { deviation = initialDeviation(hidden) } = options;
    requireFlag("build a TopK router", "renormalize", renormalize);
    requireText("build a TopK router", "name", name);
    requireNumbers(
      "build a TopK router",
      { balanceCoefficient, zCoefficient, deviation },
      { least: 0 },
    );
    requireNumbers("build a TopK router", { gateScale }, { above: 0 });
    requireActive("choose", active, experts);
    requireWarmup(warmup, active, experts);
    if (renormalize && active === 1) {
      throw new ConfigError(
        "Cannot renormalise the gate of a single expert: it is always 1, so the router would " +
          "have no gradient; raise active or leave renormalize off",
      );
    }
    this.#active = active;
    this.#coefficient = balanceCoefficient;
    this.#zCoefficient = zCoefficient;
    this.#renormalize = renormalize ? 1 : 0;
    this.#gateScale = gateScale;
    this.#warmup = { ...warmup };
    this.#weight = makeRouterWeight(memoryOf(device), name, [hidden, experts], deviation);
  }

  /** Size of a token's hidden state. */
  get hidden(): H {
    return this.#weight.shape[0];
  }

  /** Number of experts. */
  get experts(): E {
    return this.#weight.shape[1];
  }

  /** Experts per token after the warmup. */
  get active(): number {
    return this.#active;
  }

  /** The weights `[hidden, experts]`. */
  get weight(): Parameter<readonly [H, E]> {
    return this.#weight;
  }

  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @param context Its step decides whether the warmup is over. Default: it is.
   * @returns Gates, 0 except for the k largest, and the number of tokens per expert.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    const { states, gates, mask, counts } = routerBuffers("route by TopK", x, this.#weight);
    const sums = sumsBuffer(gates);
    const { shape: [tokens, experts], memory } = gates;
    const { step } = layerContext("route by TopK", states, 0, context);
    const active = step < this.#warmup.steps ? this.#warmup.active : this.#active;
    const { kernels: k } = memory;
    const probabilities = memory.allocate("f32", gates.shape);
    const hasZLoss = this.#zCoefficient !== 0;
    const normalizer = hasZLoss ? memory.allocate("f32", [tokens]) : null;
    const zSum = hasZLoss ? memory.allocate("f32", [1]) : null;
    k.check(
      k.symbols.remoe_topk_router_forward(
        k.handle,
        DTYPE_CODE[states.dtype],
        gates.address,
        probabilities.address,
        mask.address,
        counts.address,
        sums.address,
        normalizer?.address ?? 0n,
        zSum?.address ?? 0n,
        states.address,
        this.#weight.address,
        tokens,
        this.#weight.shape[0],
        experts,
        active,
        this.#renormalize,
      ),
      "route by TopK",
    );
    const saved = [mask, counts, probabilities, ...normalizer === null ? [] : [normalizer]];
    recordLinearRouter(
      "topkRouter",
      states,
      this.#weight,
      gates,
      saved,
      (dlogits, dgates, scale) => {
        k.check(
          k.symbols.remoe_topk_router_gradient(
            k.handle,
            dlogits.address,
            dgates.address,
            gates.address,
            mask.address,
            probabilities.address,
            normalizer?.address ?? 0n,
            counts.address,
            this.#coefficient * scale / tokens,
            this.#zCoefficient * scale / tokens,
            tokens,
            experts,
            active,
            this.#renormalize,
          ),
          "gradient of the TopK router",
        );
      },
    );
    return new Routed(
      scaledGates(gates, this.#gateScale),
      mask,
      counts,
      sums,
      BalanceCode.switch,
      active,
      zSum,
    );
  }

  /**
   * The trainable parameters: the weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#weight;
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
  }
}

function requireWarmup(warmup: TopKWarmup, active: number, experts: number): void {
  requireOptions("build a TopK router with a warmup", warmup, { active: true, steps: true });
  if (!Number.isSafeInteger(warmup.steps) || warmup.steps < 0) {
    throw new ConfigError(
      `Cannot build a TopK router: warmup.steps is ${warmup.steps}, expected an integer from 0`,
    );
  }
  const { active: most } = warmup;
  if (Number.isInteger(most) && most >= active && most <= experts) return;
  throw new ConfigError(
    `Cannot build a TopK router: warmup.active is ${most}, expected an integer from active ` +
      `(${active}) to experts (${experts})`,
  );
}
