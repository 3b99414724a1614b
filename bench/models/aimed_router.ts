/** Routers whose first call aims their weights. @module */

import type { Parameter } from "../../lib/autograd/parameter.ts";
import type { Router, Routing } from "../../lib/moe/router.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import type { Tensor } from "../../lib/tensor/tensor.ts";
import { download, upload } from "../../lib/tensor/transfer.ts";
import { aimWeights, reluShifts, topkShifts } from "./aim.ts";

/** How a router is to route. */
export interface Aim {
  /** Which router. */
  readonly router: "relu" | "topk";
  /** Share of the pairs that are active, exact for the tokens of the first call. */
  readonly density: number;
}

/** A router that routes a wanted share of the pairs, spread evenly over the experts. */
export class AimedRouter implements Router {
  readonly #inner: Router;
  readonly #aim: Aim;
  #isAimed = false;

  /**
   * Wraps a router and owns it.
   *
   * @param inner A ReLU or TopK router.
   * @param aim How it is to route.
   */
  constructor(inner: Router, aim: Aim) {
    this.#inner = inner;
    this.#aim = aim;
  }

  /** Whether its weights have been aimed: from the first call on. */
  get isAimed(): boolean {
    return this.#isAimed;
  }

  get hidden(): number {
    return this.#inner.hidden;
  }

  get experts(): number {
    return this.#inner.experts;
  }

  get active(): number {
    return this.#inner.active;
  }

  route<T extends number>(x: Tensor<"f32", readonly [T, number]>): Routing<T, number> {
    if (!this.#isAimed) this.#aimAt(x);
    this.#isAimed = true;
    return this.#inner.route(x);
  }

  #aimAt(x: Tensor<"f32">): void {
    const { hidden, experts, active } = this;
    const [weight] = this.parameters();
    const target = unwrapped(weight!);
    const input = { x: download(unwrapped(x)), w: download(target), hidden, experts } as const;
    const rows = Math.round(this.#aim.density * x.shape[0]!);
    const aimed = aimWeights(
      input as typeof input & { x: Float32Array; w: Float32Array },
      (logits) =>
        this.#aim.router === "relu" ? reluShifts(logits, rows) : topkShifts(logits, active),
    );
    upload(target, aimed);
  }

  parameters(): Iterable<Parameter> {
    return this.#inner.parameters();
  }

  [Symbol.dispose](): void {
    this.#inner[Symbol.dispose]();
  }
}
