/** Expert Choice routing: experts choose tokens, rather than tokens experts. @module */

import { requireOneOf, requireOptions, requireText } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import {
  makeRouterWeight,
  PLACE_NAMES,
  recordLinearRouter,
  routerBuffers,
  type RouterWeight,
} from "./linear_router.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { GroupName } from "./router_rows/expert_choice.ts";
import type { Routing } from "./routing.ts";
import { expertShare } from "./expert_share.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";

/** Settings of {@linkcode ExpertChoiceRouter}. */
export interface ExpertChoiceRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts, E·G under granularity. */
  experts: E;
  /** Experts per token on average, k·G under granularity. Default 1. */
  active?: number;
  /**
   * Tokens that each expert takes, as a multiple of its even share `active / experts`. The
   * capacity factor c of Expert Choice is `capacity · active`. Default 1.
   */
  capacity?: number;
  /** The tokens that the experts choose among. Default `batch`, all that are routed together. */
  group?: GroupName;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `gate.weight`. */
  name?: string;
}

/**
 * Expert Choice routing (Zhou et al., arXiv:2202.09368), one of the paper's baselines: with
 * `p = softmax(x W)` over the experts, each expert takes from every group of n tokens the
 * `n · capacity · active / experts` with the largest p (rounded down, at least 1; ties: the earlier
 * token), with gate p. Experts are always evenly loaded, and a token has 0 to E experts. Pairs
 * that were not chosen contribute no gradient.
 *
 * It is not causal: whether a token gets an expert depends on the tokens after it and, if `group`
 * is `batch`, on other sequences. Its loss, also in validation, benefits from the tokens it should
 * predict and depends on the micro-batch, so it is not comparable with that of a causal router. It
 * cannot generate text.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, ExpertChoiceRouter, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ExpertChoiceRouter(device, { hidden: 16, experts: 4 });
 * using _scope = device.scope();
 * const routing = router.route(device.normal([32, 16]));
 * assertEquals([...await read(routing.counts)], [8, 8, 8, 8]);
 * ```
 */
export class ExpertChoiceRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #active: number;
  readonly #capacity: number;
  readonly #group: GroupName;
  readonly #weight: RouterWeight<H, E>;

  static {
    showsItself(ExpertChoiceRouter, (router) =>
      describeLayer("ExpertChoiceRouter", {
        hidden: router.hidden,
        experts: router.experts,
        active: router.active,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights.
   *
   * @param device The router's device.
   * @param options Sizes, capacity and group.
   * @throws {ConfigError} If a setting is out of range, or an expert would take more than all
   * tokens.
   */
  constructor(device: Device, options: ExpertChoiceRouterOptions<H, E>) {
    const operation = "build an expert-choice router";
    requireOptions(operation, options, { ...PLACE_NAMES, capacity: true, group: true });
    const { hidden, experts, active = 1, capacity = 1, group = "batch" } = options;
    requireSizes(operation, { hidden, experts });
    const { deviation = initialDeviation(hidden), name = "gate.weight" } = options;
    requireNumbers(operation, { active, capacity }, { above: 0 });
    requireNumbers(operation, { deviation }, { least: 0 });
    requireOneOf(operation, "group", group, ["batch", "sequence"]);
    requireText(operation, "name", name);
    if (capacity > experts / active) {
      throw new ConfigError(
        `Cannot ${operation} of capacity ${capacity} with ${active} of ${experts} experts active ` +
          `per token: each expert would take more than all tokens; capacity may be at most ` +
          `experts / active (${experts / active})`,
      );
    }
    this.#active = active;
    this.#capacity = capacity;
    this.#group = group;
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

  /** Experts per token on average, at capacity 1. */
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
   * @param context Holds the length of a sequence, for groups of one sequence each.
   * @returns Gates, 0 except where an expert chose the token, and the number of tokens per expert.
   * @throws {ShapeMismatchError} If the hidden size does not match, or the tokens do not form whole
   * sequences.
   * @throws {ConfigError} While generating, when the tokens to choose among do not exist yet.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    const operation = "route by expert choice";
    const { states, gates, mask, counts } = routerBuffers(operation, x, this.#weight);
    const { shape: [tokens, experts], memory } = gates;
    const { sequence, generation } = layerContext(operation, states, 0, context);
    if (generation !== null) {
      throw new ConfigError(
        "Cannot generate with expert choice: experts choose among all tokens of a group, and " +
          "those to come do not exist yet; use a causal router",
      );
    }
    const group = this.#group === "sequence" ? sequence : tokens;
    const share = expertShare(group, this.#capacity * this.#active / experts);
    const { kernels: k } = memory;
    const probabilities = memory.allocate("f32", gates.shape);
    k.check(
      k.symbols.remoe_expert_choice_router_forward(
        k.handle,
        DTYPE_CODE[states.dtype],
        gates.address,
        probabilities.address,
        mask.address,
        counts.address,
        states.address,
        this.#weight.address,
        tokens,
        this.#weight.shape[0],
        experts,
        group,
        share,
      ),
      operation,
    );
    this.#record(states, gates, { mask, counts, probabilities });
    return new Routed(gates, mask, counts, null, BalanceCode.none, this.#active);
  }

  /** Records the gradient: that of chosen softmax probabilities, without a balance term. */
  #record(
    states: DeviceTensor<Real>,
    gates: DeviceTensor<"f32", readonly [number, E]>,
    { mask, counts, probabilities }: Readonly<
      Record<"mask" | "counts" | "probabilities", DeviceTensor>
    >,
  ): void {
    const { shape: [tokens, experts], memory: { kernels: k } } = gates;
    const saved = [mask, counts, probabilities];
    recordLinearRouter(
      "expertChoiceRouter",
      states,
      this.#weight,
      gates,
      saved,
      (dlogits, dgates) => {
        k.check(
          k.symbols.remoe_topk_router_gradient(
            k.handle,
            dlogits.address,
            dgates.address,
            gates.address,
            mask.address,
            probabilities.address,
            0n,
            counts.address,
            0, // no balance term, so that k below plays no part either
            0,
            tokens,
            experts,
            1,
            0,
          ),
          "gradient of the expert-choice router",
        );
      },
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
