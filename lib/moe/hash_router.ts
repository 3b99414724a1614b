/** Hash routing: a token's id alone decides its expert. @module */

import { requireOptions } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import { i32, operands, real, realOperand } from "../tensor/operands.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { PLACE_NAMES } from "./linear_router.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import { requireStates } from "./router_input.ts";
import type { Routing } from "./routing.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";
import { allocateMask } from "./routing_mask.ts";

/** Settings of {@linkcode HashRouter}. */
export interface HashRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts. */
  experts: E;
}

/**
 * The paper's Hash baseline (section 4.2): a token goes to expert `id mod E` with gate 1, in every
 * layer. Nothing is learned, nothing is added to the loss, and how evenly the experts are used
 * follows from how often each token occurs. After Roller et al., arXiv:2106.04426, who hash by a
 * random table instead.
 *
 * The layer must know the token ids. A {@linkcode LanguageModel} passes them; a layer on its own is
 * called with `layer.forward(x, { tokens })`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, HashRouter, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new HashRouter(device, { hidden: 16, experts: 4 });
 * using _scope = device.scope();
 * const tokens = device.tokens([0, 7, 4]);
 * const { gates, counts } = router.route(device.normal([3, 16]), { tokens });
 * assertEquals([...await read(counts)], [2, 0, 0, 1]);
 * assertEquals([...await read(gates)].slice(4, 8), [0, 0, 0, 1]);
 * ```
 */
export class HashRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #hidden: H;
  readonly #experts: E;

  static {
    showsItself(
      HashRouter,
      (router) =>
        describeLayer(
          "HashRouter",
          { hidden: router.hidden, experts: router.experts },
          router.parameters(),
        ),
    );
  }

  /**
   * Creates a router; it has no weights.
   *
   * @param device The router's device.
   * @param options Sizes.
   * @throws {ConfigError} If a size is not a whole number of at least 1.
   */
  constructor(device: Device, options: HashRouterOptions<H, E>) {
    requireOptions("build a hash router", options, PLACE_NAMES);
    const { hidden, experts } = options;
    requireSizes("build a hash router", { hidden, experts });
    memoryOf(device); // throws if it is not a device
    this.#hidden = hidden;
    this.#experts = experts;
  }

  /** Size of a token's hidden state. */
  get hidden(): H {
    return this.#hidden;
  }

  /** Number of experts. */
  get experts(): E {
    return this.#experts;
  }

  /** One expert is active per token. */
  get active(): number {
    return 1;
  }

  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16; only T matters.
   * @param context Holds the token ids `[T]`.
   * @returns Gates of 1 for expert `id mod E`, else 0.
   * @throws {ConfigError} If the context has no token ids.
   * @throws {ShapeMismatchError} If the hidden size does not match, or there is not one id per
   * state.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    const states = realOperand("route by hash with", x);
    requireStates("route by hash", states, this.#hidden);
    const { tokens: ids } = layerContext("route by hash", states, 0, context);
    if (ids === null) {
      throw new ConfigError(
        "Cannot route by hash without token ids: the layer was run on hidden states alone; pass " +
          "{ tokens } to forward(), as a language model does",
      );
    }
    const [, tokenIds] = operands(
      "route by hash with states and token ids",
      real<Tensor<Real>>(x),
      i32(ids),
    );
    const { memory, shape: [tokens] } = states;
    const gates = memory.allocate("f32", [tokens, this.#experts] as const);
    const mask = allocateMask(memory, tokens, this.#experts);
    const counts = memory.allocate("i32", [this.#experts] as const);
    const { kernels: k } = memory;
    k.check(
      k.symbols.remoe_hash_router_forward(
        k.handle,
        gates.address,
        mask.address,
        counts.address,
        tokenIds.address,
        tokens,
        this.#experts,
      ),
      "route by hash",
    );
    return new Routed(gates, mask, counts, null, BalanceCode.none, 1);
  }

  /**
   * A hash router has nothing to train.
   *
   * @returns No parameters.
   */
  parameters(): Iterable<Parameter> {
    return [];
  }

  /** Nothing to free. */
  [Symbol.dispose](): void {}
}
