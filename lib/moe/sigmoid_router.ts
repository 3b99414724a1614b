/** Sigmoid routing with biases in place of a balance loss (DeepSeek-V3). @module */

import { requireFlag, requireOptions, requireText, requireWhole, shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { operands } from "../tensor/operands.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { download, fill, upload } from "../tensor/transfer.ts";
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

/** Settings of {@linkcode SigmoidRouter}. */
export interface SigmoidRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts, E·G under granularity. */
  experts: E;
  /** Experts per token, k·G under granularity. Default 1. */
  active?: number;
  /** Whether to divide a token's gates by their sum. Default: if it has more than one. */
  normalize?: boolean;
  /** By how much a bias moves per step. Default 0.001, as in DeepSeek-V3. */
  biasRate?: number;
  /** Constant factor of the gates, after any normalisation; 2.5 in DeepSeek-V3. Default 1. */
  gateScale?: number;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /**
   * Name of the weight in checkpoints. Default `gate.weight`; the biases are then
   * `gate.e_score_correction_bias`, as in DeepSeek's checkpoints.
   */
  name?: string;
}

/**
 * The router of DeepSeek-V3 (arXiv:2412.19437, section 2.1.2): each token goes to the k experts with
 * the largest `sigmoid(x W) + bias`, and its gates are the sigmoids alone.
 *
 * No loss term balances the load. After each step the biases of experts with more than the mean
 * number of tokens fall by a constant, and the others' rise by it. They enter the choice only, so
 * they get no gradient; checkpoints keep them with the weights. DeepSeek-V3's additional
 * sequence-wise balance loss, of weight 0.0001, is left out.
 *
 * @example
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { Device, read, SigmoidRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new SigmoidRouter(device, { hidden: 16, experts: 4, active: 2, biasRate: 0.5 });
 * using _scope = device.scope();
 * const routing = router.route(device.normal([32, 16]));
 * assert(await routing.sparsity() === 0.5); // exactly 1 - k/E
 * router.afterStep([20, 16, 16, 12]); // training does this after each optimizer step
 * assertEquals([...await read(router.bias)], [-0.5, 0, 0, 0.5]);
 * ```
 */
export class SigmoidRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #active: number;
  readonly #weight: RouterWeight<H, E>;
  readonly #bias: ParameterTensor<readonly [E]>;
  readonly #normalize: 0 | 1;
  readonly #biasRate: number;
  readonly #gateScale: number;

  static {
    showsItself(SigmoidRouter, (router) =>
      describeLayer("SigmoidRouter", {
        hidden: router.hidden,
        experts: router.experts,
        active: router.active,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights and biases of 0.
   *
   * @param device The router's device.
   * @param options Sizes, k, and how biases move.
   * @throws {ConfigError} If `active` is not an integer from 1 to `experts`, a setting is out of
   * range, or a single gate is to be normalised: it would always be 1, leaving the router without a
   * gradient.
   */
  constructor(device: Device, options: SigmoidRouterOptions<H, E>) {
    const operation = "build a sigmoid router";
    requireOptions(operation, options, {
      ...PLACE_NAMES,
      normalize: true,
      biasRate: true,
      gateScale: true,
    });
    const { hidden, experts, active = 1, name = "gate.weight" } = options;
    requireSizes(operation, { hidden, experts });
    const { deviation = initialDeviation(hidden), normalize = active > 1 } = options;
    const { biasRate = 0.001, gateScale = 1 } = options;
    requireFlag(operation, "normalize", normalize);
    requireText(operation, "name", name);
    requireNumbers(operation, { biasRate, deviation }, { least: 0 });
    requireNumbers(operation, { gateScale }, { above: 0 });
    requireActive("choose", active, experts);
    if (normalize && active === 1) {
      throw new ConfigError(
        "Cannot normalise the gate of a single expert: it is always 1, so the router would have no " +
          "gradient; raise active or leave normalize off",
      );
    }
    this.#active = active;
    this.#normalize = normalize ? 1 : 0;
    this.#biasRate = biasRate;
    this.#gateScale = gateScale;
    using unfinished = new DisposableStack();
    const memory = memoryOf(device);
    this.#weight = unfinished.use(makeRouterWeight(memory, name, [hidden, experts], deviation));
    this.#bias = unfinished.use(ParameterTensor.make(memory, biasName(name), [experts], false));
    fill(this.#bias, 0);
    unfinished.move();
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

  /** The biases `[experts]`. */
  get bias(): Parameter<readonly [E]> {
    return this.#bias;
  }

  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @param context Makes no difference.
   * @returns Gates, 0 except for the k chosen experts, and the number of tokens per expert.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    const buffers = routerBuffers("route by sigmoid", x, this.#weight);
    const { states, gates, mask, counts } = buffers;
    const sums = sumsBuffer(gates); // the kernel writes them, nothing reads them
    layerContext("route by sigmoid", states, 0, context);
    const { shape: [tokens, experts], memory } = gates;
    const [, bias] = operands("route by sigmoid with", this.#weight, this.#bias);
    const { kernels: k } = memory;
    const scores = memory.allocate("f32", gates.shape);
    k.check(
      k.symbols.remoe_sigmoid_router_forward(
        k.handle,
        DTYPE_CODE[states.dtype],
        gates.address,
        scores.address,
        mask.address,
        counts.address,
        sums.address,
        bias.address,
        states.address,
        this.#weight.address,
        tokens,
        this.#weight.shape[0],
        experts,
        this.#active,
        this.#normalize,
      ),
      "route by sigmoid",
    );
    const saved = [mask, scores];
    recordLinearRouter("sigmoidRouter", states, this.#weight, gates, saved, (dlogits, dgates) => {
      k.check(
        k.symbols.remoe_sigmoid_router_gradient(
          k.handle,
          dlogits.address,
          dgates.address,
          gates.address,
          mask.address,
          scores.address,
          tokens,
          experts,
          this.#normalize,
        ),
        "gradient of the sigmoid router",
      );
    });
    return new Routed(
      scaledGates(gates, this.#gateScale),
      mask,
      counts,
      null,
      BalanceCode.none,
      this.#active,
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

  /**
   * The biases, which no gradient trains.
   *
   * @returns The tensors, always in the same order.
   */
  *buffers(): Iterable<Parameter> {
    yield this.#bias;
  }

  /**
   * Lowers the biases of experts with more than the mean number of tokens and raises those of
   * experts with fewer: bias_e += rate · sign(mean - n_e).
   *
   * @param counts Tokens of each expert in the optimizer step, n `[experts]`.
   * @throws {TypeError} If the counts are not an array.
   * @throws {RangeError} If there is not one count per expert, or a count is not a whole number.
   */
  afterStep(counts: readonly number[]): void {
    const { experts } = this;
    if (!Array.isArray(counts)) {
      throw new TypeError(
        `Cannot move the biases: counts are ${shown(counts)}, expected an array`,
      );
    }
    requireWhole("move the biases", "the number of counts", counts.length, {
      least: experts,
      most: experts,
    });
    for (const [e, count] of counts.entries()) {
      requireWhole("move the biases", `the count of expert ${e}`, count);
    }
    const mean = counts.reduce((sum, count) => sum + count, 0) / experts;
    const bias = download(this.#bias);
    upload(
      this.#bias,
      bias.map((value, e) => value + this.#biasRate * Math.sign(mean - counts[e]!)),
    );
  }

  /** Frees the weights and the biases. */
  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
    this.#bias[Symbol.dispose]();
  }
}

/** Name of the biases in checkpoints, beside the weight's. */
function biasName(weight: string): string {
  return `${weight.replace(/\.weight$/, "")}.e_score_correction_bias`;
}
