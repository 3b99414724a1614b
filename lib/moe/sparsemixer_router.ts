/** SparseMixer-v2 routing: experts drawn from the softmax, with an estimator of the gradient. @module */

import { requireOptions, requireText } from "../arguments.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { uniformTensor } from "../autograd/made_tensors.ts";
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
  sumsBuffer,
} from "./linear_router.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";

/** Settings of {@linkcode SparseMixerRouter}. */
export interface SparseMixerRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts, E·G under granularity. */
  experts: E;
  /** Experts per token, k·G under granularity. Default 1. */
  active?: number;
  /**
   * Sets how far below the largest logit an expert may still be drawn: an expert with logit s is
   * left out if `(max - s) / max(|s|, max)` is above twice this. From 1 on no expert is left out.
   * Default 0.1.
   */
  jitter?: number;
  /** Coefficient of Switch's balance loss, summed over layers. Default 0.01. */
  balanceCoefficient?: number;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `gate.weight`. */
  name?: string;
}

/**
 * The SparseMixer-v2 router of GRIN (arXiv:2409.12136), which the paper compares with. In training
 * a token's expert i is drawn from p, the softmax over the logits near the largest one, and its
 * gate is `p_i h`: h is 1 if i has the largest logit, and otherwise 1 with probability 1/4 and 1/3
 * with probability 3/4 (Heun's third-order rule). In evaluation i has the largest logit and the
 * gate is p_i. Further experts are chosen in the same way among those that are left, each with a
 * softmax of its own.
 *
 * The gradient is an estimator, not the derivative of the gates: a gate's gradient g gives
 * `g p_i (δ_ij - p_j)` for the logit of each expert j in the softmax, without h. The draws depend
 * only on the device's seed, the step and the number of draws before them.
 *
 * While it routes in training, the draws take `4 · T · k · (E + 1)` bytes. Under granularity G both k
 * and E are G times as many, so this grows with G²: 8,192 tokens, 8 experts of 64 take 16 MiB, 64 of
 * 512 take 1 GiB. A run's memory estimate counts it.
 *
 * @example
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { Device, read, SparseMixerRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new SparseMixerRouter(device, { hidden: 16, experts: 4, jitter: 1 });
 * using _scope = device.scope();
 * const x = device.normal([32, 16]);
 * const best = await read(router.route(x, { training: false }).counts);
 * const drawn = await read(router.route(x, { training: true }).counts);
 * assert(drawn.some((count, e) => count !== best[e]));
 * assertEquals(drawn.reduce((sum, count) => sum + count, 0), 32); // always k experts per token
 * ```
 */
export class SparseMixerRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #active: number;
  readonly #jitter: number;
  readonly #weight: RouterWeight<H, E>;
  readonly #coefficient: number;

  static {
    showsItself(SparseMixerRouter, (router) =>
      describeLayer("SparseMixerRouter", {
        hidden: router.hidden,
        experts: router.experts,
        active: router.active,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights.
   *
   * @param device The router's device.
   * @param options Sizes, k, jitter and balance.
   * @throws {ConfigError} If `active` is not an integer from 1 to `experts`, or a setting is out of
   * range.
   */
  constructor(device: Device, options: SparseMixerRouterOptions<H, E>) {
    requireOptions("build a SparseMixer router", options, {
      ...PLACE_NAMES,
      jitter: true,
      balanceCoefficient: true,
    });
    const { hidden, experts, active = 1, jitter = 0.1 } = options;
    const { balanceCoefficient = 0.01, name = "gate.weight" } = options;
    requireSizes("build a SparseMixer router", { hidden, experts });
    const { deviation = initialDeviation(hidden) } = options;
    requireText("build a SparseMixer router", "name", name);
    requireNumbers(
      "build a SparseMixer router",
      { balanceCoefficient, deviation },
      { least: 0 },
    );
    // At 0 only the largest logit is kept: the gate is always 1, and the gradient 0.
    requireNumbers("build a SparseMixer router", { jitter }, { above: 0 });
    requireActive("draw", active, experts);
    this.#active = active;
    this.#jitter = jitter;
    this.#coefficient = balanceCoefficient;
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

  /** Experts per token. */
  get active(): number {
    return this.#active;
  }

  /** The weights `[hidden, experts]`. */
  get weight(): Parameter<readonly [H, E]> {
    return this.#weight;
  }

  /**
   * Routes tokens: in training by drawing experts, otherwise to those with the largest logits.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @param context Whether the model is being trained, by default if a tape records.
   * @returns Gates, 0 except for the k chosen, and the number of tokens per expert.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    const operation = "route by SparseMixer";
    const { states, gates, mask, counts } = routerBuffers(operation, x, this.#weight);
    const sums = sumsBuffer(gates);
    const { training } = layerContext(operation, states, 0, context);
    const { shape: [tokens, experts], memory } = gates;
    const [active, jitter] = [this.#active, this.#jitter];
    const { kernels: k } = memory;
    const logits = memory.allocate("f32", gates.shape);
    const order = memory.allocate("i32", [tokens, active]);
    const noise = training ? uniformTensor(memory, [tokens, active, experts + 1], {}) : null;
    k.check(
      k.symbols.remoe_sparsemixer_router_forward(
        k.handle,
        DTYPE_CODE[states.dtype],
        gates.address,
        logits.address,
        order.address,
        mask.address,
        counts.address,
        sums.address,
        noise?.address ?? 0n,
        states.address,
        this.#weight.address,
        tokens,
        this.#weight.shape[0],
        experts,
        active,
        jitter,
      ),
      operation,
    );
    noise?.[Symbol.dispose]();
    recordLinearRouter(
      "sparseMixerRouter",
      states,
      this.#weight,
      gates,
      [logits, order, counts],
      (dlogits, dgates, scale) => {
        k.check(
          k.symbols.remoe_sparsemixer_router_gradient(
            k.handle,
            dlogits.address,
            dgates.address,
            logits.address,
            order.address,
            counts.address,
            this.#coefficient * scale / tokens,
            jitter,
            tokens,
            experts,
            active,
          ),
          "gradient of the SparseMixer router",
        );
      },
    );
    return new Routed(gates, mask, counts, sums, BalanceCode.switch, active);
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
