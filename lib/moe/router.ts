/** What every router is: tokens in, gates out. @module */

import type { Parameter } from "../autograd/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * How strongly each token goes to each expert, and what follows from it.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, ReluRouter, type Routing } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 16, experts: 4 });
 * const routing: Routing<32, number> = router.route(device.normal([32, 16]));
 * assert(routing.gates.shape.join() === "32,4" && routing.counts.shape.join() === "4");
 * assert(await routing.sparsity() < 1 && await routing.regularization() > 0);
 * ```
 */
export interface Routing<T extends number = number, E extends number = number> {
  /**
   * Gates `[T, E]`; zero where a token is not routed, though the gate of a routed pair may be zero
   * too. Gradients flow back through them.
   */
  readonly gates: Tensor<"f32", readonly [T, E]>;
  /** Tokens routed to each expert. */
  readonly counts: Tensor<"i32", readonly [E]>;
  /**
   * Share of pairs of token and expert that are not routed, equation 8 for this layer alone.
   *
   * @returns A number from 0 to 1.
   */
  sparsity(): Promise<number>;
  /**
   * The value of the router's regularisation on these tokens, without its coefficient:
   * equation 9 or 10 for ReLU routing, the Switch balance loss for TopK, 0 where there is none.
   *
   * @returns A number of at least 0.
   */
  regularization(): Promise<number>;
}

/**
 * Decides which experts a token goes to, and how strongly.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, matmul, type Parameter, relu, type Router } from "@remoe/remoe";
 * import { type Routing, routingOf, square, type Tensor } from "@remoe/remoe";
 *
 * // Gates are squared: they open smoothly.
 * class SquaredReluRouter implements Router {
 *   readonly active = 1;
 *   readonly weight: Parameter<readonly [number, number]>;
 *
 *   constructor(device: Device, readonly hidden: number, readonly experts: number) {
 *     this.weight = device.parameter([hidden, experts]);
 *   }
 *
 *   route<T extends number>(x: Tensor<"f32", readonly [T, number]>): Routing<T> {
 *     return routingOf(square(relu(matmul(x, this.weight))));
 *   }
 *
 *   parameters() {
 *     return [this.weight];
 *   }
 *
 *   [Symbol.dispose]() {
 *     this.weight[Symbol.dispose]();
 *   }
 * }
 *
 * using device = await Device.open({ kind: "cpu" });
 * using router = new SquaredReluRouter(device, 16, 4); // new MoE(device, { router, ... })
 * assert(router.route(device.normal([8, 16])).gates.shape[1] === 4);
 * ```
 */
export interface Router<H extends number = number, E extends number = number> extends Disposable {
  /** Size of a token's hidden state. */
  readonly hidden: H;
  /** Number of experts. */
  readonly experts: E;
  /** Active experts wanted for each token. */
  readonly active: number;
  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`.
   * @returns Gates and counts.
   */
  route<T extends number>(x: Tensor<"f32", readonly [T, H]>): Routing<T, E>;
  /**
   * What training changes.
   *
   * @returns The parameters, always in the same order.
   */
  parameters(): Iterable<Parameter>;
}
