/** Routers that merge experts instead of choosing among them. @module */

import type { Tensor } from "../tensor/tensor.ts";
import type { Router } from "./router.ts";
import type { RoutingContext } from "./routing_context.ts";

/** How a {@linkcode MergingRouter} merges the experts, and for which tokens. */
export interface Merging<T extends number = number, E extends number = number> {
  /** Weights of the experts in each merged network, `[N, E]`; gradients flow back through them. */
  readonly weights: Tensor<"f32", readonly [number, E]>;
  /** The merged network of each token, from 0 to N - 1. */
  readonly networkOf: Tensor<"i32", readonly [T]>;
  /** Tokens of each of the N merged networks. */
  readonly tokens: readonly number[];
}

/**
 * A router that averages the experts' weights into one network per segment of a sequence, for
 * {@linkcode MergedExperts}.
 *
 * @example One average for all tokens
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, MergedExperts, type MergingRouter, routingOf, type Tensor } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * const router: MergingRouter<16, 2> = {
 *   ...{ hidden: 16, experts: 2, active: 1 } as const,
 *   merge: <T extends number>({ shape: [count] }: Tensor<"f32", readonly [T, 16]>) => ({
 *     weights: device.full([1, 2], 0.5),
 *     networkOf: device.tokens(new Array<number>(count).fill(0)) as Tensor<"i32", readonly [T]>,
 *     tokens: [count],
 *   }),
 *   route: <T extends number>({ shape: [count] }: Tensor<"f32", readonly [T, 16]>) =>
 *     routingOf(device.full([count, 2], 0.5)),
 *   parameters: () => [],
 *   [Symbol.dispose]() {},
 * };
 * using layer = new MergedExperts(device, { router, hidden: 16, width: 8 });
 * assertEquals(layer.forward(device.normal([6, 16])).output.shape, [6, 16]);
 * ```
 */
export interface MergingRouter<H extends number = number, E extends number = number>
  extends Router<H, E> {
  /**
   * Decides how to merge the experts.
   *
   * @param x Hidden states `[T, H]`.
   * @param context Sequence and generation.
   * @returns The weights, and which tokens use which average.
   */
  merge<T extends number>(
    x: Tensor<"f32", readonly [T, H]>,
    context: RoutingContext,
  ): Merging<T, E>;
}
