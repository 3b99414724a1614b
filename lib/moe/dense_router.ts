/** Dense routing: every token goes to every expert with gate 1. @module */

import { requireOptions } from "../arguments.ts";
import { requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { realOperand } from "../tensor/operands.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";
import { Routed } from "./routed.ts";
import { requireStates } from "./router_input.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { routingMask } from "./routing_mask.ts";

/** Settings of {@linkcode DenseRouter}. */
export interface DenseRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts; with one, the layer is a plain feed-forward network. */
  experts: E;
}

/**
 * Routes every token to every expert with gate 1. With one expert the MoE layer is the dense
 * feed-forward network. With E experts it is a dense network of E times the width, the paper's
 * Dense×E.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { DenseRouter, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using router = new DenseRouter(device, { hidden: 16, experts: 2 });
 * const { gates } = router.route(device.normal([3, 16]));
 * assert((await read(gates)).every((gate) => gate === 1));
 * ```
 */
export class DenseRouter<const H extends number = number, const E extends number = number>
  implements Router<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #hidden: H;
  readonly #experts: E;

  static {
    showsItself(
      DenseRouter,
      (router) =>
        describeLayer(
          "DenseRouter",
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
  constructor(device: Device, options: DenseRouterOptions<H, E>) {
    requireOptions("build a dense router", options);
    const { hidden, experts } = options;
    requireSizes("build a dense router", { hidden, experts });
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

  /** Every expert is active. */
  get active(): number {
    return this.#experts;
  }

  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16; only T matters.
   * @returns Gates of 1.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
  ): Routing<T, E> {
    const states = realOperand("route densely with", x);
    requireStates("route densely", states, this.#hidden);
    const { memory, shape } = states;
    const gates = memory.allocate("f32", [shape[0], this.#experts] as const);
    fill(gates, 1);
    const { mask, counts } = routingMask(gates);
    return new Routed(gates, mask, counts, null, BalanceCode.none, this.#experts);
  }

  /**
   * A dense router has nothing to train.
   *
   * @returns No parameters.
   */
  parameters(): Iterable<Parameter> {
    return [];
  }

  /** Nothing to free. */
  [Symbol.dispose](): void {}
}
