/** The router interface: tokens in, gates out. @module */

import type { Parameter } from "../autograd/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Routing } from "./routing.ts";
import type { RoutingContext } from "./routing_context.ts";

/**
 * Decides which experts each token goes to, and with what weight.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, matmul, type Parameter, relu, type Router } from "@remoe/remoe";
 * import { type Routing, routingOf, square, type Tensor } from "@remoe/remoe";
 *
 * // Squared gates open smoothly.
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
 *
 * @example State that follows the routing: experts with more than their share close a little
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, matmul, readSync, relu, type Router, type Routing } from "@remoe/remoe";
 * import { routingOf, subtract, type Tensor, write } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * const weight = device.parameter([16, 2], { name: "gate.weight" });
 * const threshold = device.parameter([2], { deviation: 0, name: "gate.threshold" });
 * const router: Router = {
 *   ...{ hidden: 16, experts: 2, active: 1 },
 *   route<T extends number>(x: Tensor<"f32", readonly [T, number]>) {
 *     const logits: Tensor<"f32", readonly [number, 2]> = matmul(x, weight);
 *     return routingOf(relu(subtract(logits, threshold))) as Routing<T, 2>;
 *   },
 *   parameters: () => [weight],
 *   buffers: () => [threshold],
 *   afterStep(counts) {
 *     const share = counts.reduce((sum, count) => sum + count, 0) / counts.length;
 *     // Not kept in a variable, which a resumed run would not have.
 *     const values = readSync(threshold);
 *     write(threshold, values.map((value, e) => value + 0.5 * Math.sign(counts[e]! - share)));
 *   },
 *   [Symbol.dispose]() {},
 * };
 * router.afterStep?.([30, 10]); // training does this after each optimizer step
 * assertEquals([...readSync(threshold)], [0.5, -0.5]);
 * ```
 */
export interface Router<H extends number = number, E extends number = number> extends Disposable {
  /** Size of a token's hidden state. */
  readonly hidden: H;
  /** Number of experts. */
  readonly experts: E;
  /** Target of active experts per token. */
  readonly active: number;
  /**
   * Whether `route` takes bf16 states as well. A layer that computes in bf16 casts its states to f32
   * for a router that does not say so; gates are f32 either way.
   */
  readonly takesBf16?: boolean;
  /**
   * Routes tokens.
   *
   * @param x Hidden states `[T, H]`.
   * @param context Token ids, sequence, mode and step, for a router that depends on them.
   * @returns Gates and counts.
   */
  route<T extends number>(
    x: Tensor<"f32", readonly [T, H]>,
    context: RoutingContext,
  ): Routing<T, E>;
  /**
   * The trainable parameters.
   *
   * @returns The parameters, always in the same order.
   */
  parameters(): Iterable<Parameter>;
  /**
   * State that is not trained by gradients, such as the biases of a balancing rule. It is saved and
   * loaded with the weights; the optimizer leaves it alone.
   *
   * @returns The tensors, always in the same order. A router without the method has none.
   */
  buffers?(): Iterable<Parameter>;
  /**
   * Runs after every optimizer step, for state that follows the routing rather than a gradient.
   * Keep it in {@linkcode Router.buffers}: a resumed run loads those, but no variables.
   *
   * @param counts Tokens that went to each expert, over all micro-batches of the step.
   */
  afterStep?(counts: readonly number[]): void;
}
