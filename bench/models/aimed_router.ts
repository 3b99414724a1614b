/** Routers that aim their weights on the first call. @module */

import type { Device } from "../../lib/autograd/device.ts";
import type { Parameter } from "../../lib/autograd/parameter.ts";
import { BUILD_ROUTER } from "../../lib/moe/build_router.ts";
import type { ExpertSizes } from "../../lib/moe/layer_sizes.ts";
import type { Router } from "../../lib/moe/router.ts";
import type { Routing } from "../../lib/moe/routing.ts";
import type { RoutingContext } from "../../lib/moe/routing_context.ts";
import type { RouterPlace } from "../../lib/moe/router_row.ts";
import type { RouterName, RouterSettings } from "../../lib/moe/routers.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import type { Tensor } from "../../lib/tensor/tensor.ts";
import { download, upload } from "../../lib/tensor/transfer.ts";
import { aimWeights, type Logits, reluShifts, topkShifts } from "./aim.ts";

/** How a router should route. */
export interface Aim {
  /** The router. */
  readonly router: RouterName;
  /** Share of active pairs, exact for the tokens of the first call. */
  readonly density: number;
}

/** Chooses shifts that give each expert `rows` tokens, or its fair share of `active` per token. */
type Shifts = (logits: Logits, rows: number, active: number) => Float64Array;

/** How each router's weights are aimed; null: it has none, or its experts are all in use. */
const SHIFTS: Readonly<Record<RouterName, Shifts | null>> = {
  dense: null,
  topk: (logits, _rows, active) => topkShifts(logits, active),
  relu: (logits, rows) => reluShifts(logits, rows),
  lory: null,
  // Without biases, the largest scores are those of the largest logits.
  sigmoid: (logits, _rows, active) => topkShifts(logits, active),
  hash: null,
  // Each expert takes its share whatever the weights.
  "expert-choice": ({ experts }) => new Float64Array(experts),
  // In expectation only: it draws around the largest logits.
  sparsemixer: (logits, _rows, active) => topkShifts(logits, active),
};

/** A router that routes a given share of the pairs, spread evenly over the experts. */
export class AimedRouter implements Router {
  readonly #inner: Router;
  readonly #aim: Aim;
  #isAimed = false;

  readonly #shifts: Shifts;

  /**
   * Builds the router.
   *
   * @param device The device.
   * @param aim Which router, and how it should route.
   * @param place Its sizes and its place in the model.
   * @param settings Sizes, and the settings of all routers.
   * @throws {TypeError} If the router cannot be aimed.
   */
  constructor(
    device: Device,
    aim: Aim,
    place: RouterPlace,
    settings: RouterSettings & ExpertSizes,
  ) {
    const shifts = SHIFTS[aim.router];
    if (shifts === null) {
      throw new TypeError(
        `Cannot aim the router ${aim.router}: it does not choose experts by its weights`,
      );
    }
    this.#shifts = shifts;
    this.#inner = BUILD_ROUTER[aim.router](device, place, settings);
    this.#aim = aim;
  }

  /** Whether its weights have been aimed, which the first call does. */
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

  route<T extends number>(
    x: Tensor<"f32", readonly [T, number]>,
    context: RoutingContext,
  ): Routing<T, number> {
    if (!this.#isAimed) this.#aimAt(x);
    this.#isAimed = true;
    return this.#inner.route(x, context);
  }

  #aimAt(x: Tensor<"f32">): void {
    const { hidden, experts, active } = this;
    const [weight] = this.parameters();
    const target = unwrapped(weight!);
    const input = { x: download(unwrapped(x)), w: download(target), hidden, experts } as const;
    const rows = Math.round(this.#aim.density * x.shape[0]!);
    const aimed = aimWeights(
      input as typeof input & { x: Float32Array; w: Float32Array },
      (logits) => this.#shifts(logits, rows, active),
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
