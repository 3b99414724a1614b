/** Builds a `Routing` from precomputed gates. @module */

import { requireOptions } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { requireNumbers } from "../settings.ts";
import { BalanceCode } from "../ffi/codes.ts";
import { showShape } from "../tensor/shape_math.ts";
import { operands } from "../tensor/operands.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type GateRegularization, regularizeGates } from "./gate_regularization.ts";
import { Routed } from "./routed.ts";
import type { Routing } from "./routing.ts";
import { routingMask } from "./routing_mask.ts";

/** Settings of {@linkcode routingOf}. */
export interface RoutingOptions<T extends number = number, E extends number = number> {
  /** Target of active experts per token. Default 1. */
  active?: number;
  /**
   * `[T, E]`, nonzero where a token is routed; gets no gradient. Default the gates. Needed
   * where the gate of a routed pair may be exactly 0.
   */
  selected?: Tensor<"f32", readonly [T, E]>;
  /** Adds λ · L_reg to the gates' gradient, for a router whose λ holds its sparsity. */
  regularization?: GateRegularization;
}

/**
 * Builds a routing from gates computed by other operations, as the return value of `route` in a
 * {@linkcode Router} of your own. {@linkcode MoE} runs the experts whose gate is not 0, or those in
 * `selected`, and backpropagates to their gates. With `regularization` they also get the gradient of
 * the L1 term that the ReLU router has; any other term is yours to add to the loss.
 *
 * @param gates `[T, E]`, of either sign; 0 where a token is not routed.
 * @param options The target of active experts, and which pairs are routed.
 * @returns The gates and the number of tokens per expert.
 * @throws {ShapeMismatchError} If the gates do not have two axes, or `selected` has another shape.
 * @throws {ConfigError} If `active` is not a number above 0.
 *
 * @example A router without weights
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, MoE, type Router, routingOf, type Tensor } from "@remoe/remoe";
 *
 * // Token `t` goes to expert `t mod experts`.
 * class RoundRobinRouter implements Router {
 *   readonly active = 1;
 *   constructor(readonly device: Device, readonly hidden: number, readonly experts: number) {}
 *
 *   route<T extends number>(x: Tensor<"f32", readonly [T, number]>) {
 *     const [tokens] = x.shape;
 *     const pairs = Array.from({ length: tokens * this.experts }, (_, i) => {
 *       const [token, expert] = [Math.floor(i / this.experts), i % this.experts];
 *       return token % this.experts === expert ? 1 : 0;
 *     });
 *     return routingOf(this.device.from(pairs, [tokens, this.experts]));
 *   }
 *
 *   parameters() {
 *     return [];
 *   }
 *
 *   [Symbol.dispose]() {}
 * }
 *
 * using device = await Device.open({ kind: "cpu" });
 * const router = new RoundRobinRouter(device, 16, 4);
 * using layer = new MoE(device, { router, hidden: 16, width: 8 });
 * const { routing } = layer.forward(device.normal([12, 16]));
 * assertEquals(await routing.sparsity(), 0.75);
 * ```
 */
export function routingOf<T extends number, E extends number>(
  gates: Tensor<"f32", readonly [T, E]>,
  options: RoutingOptions<NoInfer<T>, NoInfer<E>> = {},
): Routing<T, E> {
  requireOptions("route by gates", options, { active: true, selected: true, regularization: true });
  const { active = 1, selected = gates, regularization } = options;
  requireNumbers("route by gates", { active }, { above: 0 });
  const [inner] = operands("route by", gates);
  if (inner.shape.length !== 2) {
    throw new ShapeMismatchError(
      `Cannot route by gates of shape ${showShape(inner.shape)}: they need [tokens, experts]`,
    );
  }
  const [, chosen] = operands("route by gates and selection", gates, selected);
  if (chosen.shape.length !== 2 || chosen.shape.some((size, axis) => size !== inner.shape[axis])) {
    throw new ShapeMismatchError(
      `Cannot route by gates of shape ${showShape(inner.shape)} with a selection of shape ` +
        `${showShape(chosen.shape)}: the shapes must be equal`,
    );
  }
  const { mask, counts } = routingMask(chosen);
  if (regularization === undefined) {
    return new Routed(inner, mask, counts, null, BalanceCode.none, active);
  }
  const { gates: passed, sums, balance } = regularizeGates(inner, counts, active, regularization);
  return new Routed(passed, mask, counts, sums, balance, active);
}
