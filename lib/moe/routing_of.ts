/** Builds a `Routing` from precomputed gates. @module */

import { requireOptions } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { requireNumbers } from "../settings.ts";
import { BalanceCode, BinaryCode } from "../ffi/codes.ts";
import { planExpertOffset } from "../ffi/layouts.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { binaryLayout, showShape } from "../tensor/shape_math.ts";
import { operands } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { dispatchPlan } from "./dispatch_plan.ts";
import { Routed } from "./routed.ts";
import type { Routing } from "./routing.ts";

/** Settings of {@linkcode routingOf}. */
export interface RoutingOptions {
  /** Target of active experts per token. Default 1. */
  active?: number;
}

/**
 * Builds a routing from gates computed by other operations, as the return value of `route` in a
 * {@linkcode Router} of your own. {@linkcode MoE} runs the experts whose gate is not 0 and
 * backpropagates to the gates. The routing has no regularisation term: add yours to the loss.
 *
 * @param gates `[T, E]`, at least 0; 0 where a token is not routed.
 * @param options The target of active experts.
 * @returns The gates and the number of tokens per expert.
 * @throws {ShapeMismatchError} If the gates do not have two axes.
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
  options: RoutingOptions = {},
): Routing<T, E> {
  requireOptions("route by gates", options, { active: true });
  const { active = 1 } = options;
  requireNumbers("route by gates", { active }, { above: 0 });
  const [inner] = operands("route by", gates);
  if (inner.shape.length !== 2) {
    throw new ShapeMismatchError(
      `Cannot route by gates of shape ${showShape(inner.shape)}: they need [tokens, experts]`,
    );
  }
  return new Routed(inner, countTokens(inner), null, BalanceCode.none, active);
}

/** Tokens per expert: the differences between consecutive row offsets of the plan. */
function countTokens<E extends number>(
  gates: DeviceTensor<"f32", readonly [number, E]>,
): DeviceTensor<"i32", readonly [E]> {
  const { memory, shape: [, experts] } = gates;
  const { kernels: k } = memory;
  const counts = memory.allocate("i32", [experts] as const);
  const plan = dispatchPlan(gates);
  const first = plan.address + BigInt(4 * planExpertOffset());
  k.check(
    k.symbols.remoe_binary(
      k.handle,
      BinaryCode.subtract,
      DTYPE_CODE.i32,
      counts.address,
      first + 4n,
      first,
      binaryLayout(counts.shape, counts.shape, counts.shape),
    ),
    "count tokens",
  );
  plan[Symbol.dispose]();
  return counts;
}
