/** The MoE layer: a router and its experts. @module */

import { requireOptions, shown } from "../arguments.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import type { Device } from "../autograd/device.ts";
import {
  buffersOf,
  type Parameter,
  parametersOf,
  type ParameterTensor,
} from "../autograd/parameter.ts";
import type { StepState } from "../autograd/step_state.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Real } from "../tensor/dtype.ts";
import { operands, real, requireOneType } from "../tensor/operands.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { dispatchPlan, planCapacity } from "./dispatch_plan.ts";
import { runExperts } from "./experts.ts";
import { createExperts } from "./expert_weights.ts";
import { type KeptRows, keptRowsOf } from "./kept_rows.ts";
import type { MoEOptions } from "./moe_options.ts";
import { capacityOf, type PlanCapacity } from "./plan_capacity.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";
import { requireStates, statesFor } from "./router_input.ts";
import { routingMask } from "./routing_mask.ts";

/** Result of {@linkcode MoE.forward}. */
export interface MoEResult<
  T extends number = number,
  H extends number = number,
  E extends number = number,
  R extends Real = "f32",
> {
  /** `[T, H]`; exactly 0 for a token without an expert. */
  readonly output: Tensor<R, readonly [T, H]>;
  /** Which experts each token went to. */
  readonly routing: Routing<T, E>;
}

/**
 * A Mixture-of-Experts layer (equation 1): each expert is a SwiGLU feed-forward network, and
 * each token's result is the sum over its experts, weighted by their gates.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, MoE, ReluRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 16, experts: 4 });
 * using layer = new MoE(device, { router, hidden: 16, width: 32 });
 * using _scope = device.scope();
 * const { output } = layer.forward(device.normal([10, 16]));
 * assert(output.shape[0] === 10);
 * ```
 */
export class MoE<
  const H extends number = number,
  const E extends number = number,
  R extends Real = "f32",
> implements Disposable {
  /** The layer's router. */
  readonly router: Router<H, E>;
  readonly #w1: ParameterTensor<readonly [number, number, number]>;
  readonly #w2: ParameterTensor<readonly [number, number, number]>;
  readonly #dtype: R;
  readonly #kept: KeptRows;
  readonly #capacity: PlanCapacity;
  readonly #state: StepState | null;
  readonly #layer: number;
  readonly #owned: DisposableStack;

  static {
    showsItself(MoE, (layer) =>
      describeLayer("MoE", {
        experts: layer.#w2.shape[0],
        hidden: layer.#w2.shape[2],
        width: layer.#w2.shape[1],
      }, layer.parameters()));
  }

  /**
   * Creates a layer with random weights.
   *
   * @param device The layer's device.
   * @param options Router, sizes, initialisation.
   * @throws {ConfigError} If sizes do not match the router's or the state's, or a setting is out of
   * range.
   */
  constructor(device: Device, options: MoEOptions<H, E, R>) {
    requireOptions(BUILD, options, {
      router: true,
      hidden: true,
      width: true,
      deviation: true,
      outputDeviation: true,
      name: true,
      state: true,
      layer: true,
      kept: true,
      capacity: true,
      dtype: true,
    });
    const { router, capacity = "full", state = null } = options;
    if (typeof router?.route !== "function") {
      throw new ConfigError(
        `Cannot build an MoE layer: router is ${shown(router)}, expected one such as a ReluRouter`,
      );
    }
    capacityOf(BUILD, capacity);
    if (capacity !== "full" && state === null) {
      throw new ConfigError(
        "Cannot build an MoE layer: with a capacity it needs a state, which notes an overflow",
      );
    }
    const bounds = (_: number, width: number) => ({ "2 · width": 2 * width });
    const made = createExperts<R>(BUILD, device, router, options, bounds, "experts");
    this.router = router;
    this.#w1 = made.w1;
    this.#w2 = made.w2;
    this.#dtype = made.dtype;
    this.#kept = made.kept;
    this.#capacity = capacity;
    this.#state = made.state;
    this.#layer = made.layer;
    this.#owned = made.owned;
  }

  /**
   * Runs the layer.
   *
   * @param x Hidden states `[T, H]`, in the layer's type.
   * @param context Context for the router. By default the tokens are one sequence with unknown ids,
   * in training if a tape records.
   * @returns The weighted sum of the experts' outputs, and the routing.
   * @throws {ShapeMismatchError} If the hidden size does not match, the router's gates are not
   * `[T, E]`, or the context is for another number of tokens.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): MoEResult<T, H, E, R> {
    const given = operands("run an MoE layer on", real<Tensor<R, readonly [T, H]>>(x), this.#w1);
    const states = given[0] as DeviceTensor<R, readonly [T, H]>;
    const [w1, w2] = [this.#w1.readAs(this.#dtype), this.#w2.readAs(this.#dtype)];
    requireOneType("run an MoE layer on", states, w1);
    const [experts, hidden] = this.#w1.shape;
    requireStates("run an MoE layer", states, hidden, this.#w1);
    const place = layerContext("run an MoE layer on", states, this.#layer, context);
    const routing = this.router.route<T>(statesFor(this.router, states), place);
    const [, gates] = operands(
      "run experts with states and gates",
      real<Tensor<Real>>(x),
      routing?.gates,
    );
    const [tokens] = states.shape;
    if (gates.shape.length !== 2 || gates.shape[0] !== tokens || gates.shape[1] !== experts) {
      throw new ShapeMismatchError(
        `Cannot run ${experts} experts on ${tokens} tokens with gates of shape ` +
          `${showShape(gates.shape)}: the router must give [${tokens}, ${experts}]`,
      );
    }
    const isRecorded = states.memory.recorder !== null;
    const most = isRecorded ? capacityOf("run an MoE layer", this.#capacity) : Infinity;
    const capacity = Math.min(most, planCapacity(tokens, experts));
    const plan = planOf(routing, gates, capacity);
    if (this.#state !== null && isRecorded) {
      requireRouted(routing).recordIn(this.#state, this.#layer, plan);
    }
    place.onRouting?.(place.layer, routing);
    const rows = keptRowsOf("run an MoE layer", this.#kept);
    const keptRows = Math.min(rows, capacity);
    const output = runExperts<R>({ x: states, w1, w2, gates, plan, keptRows });
    return { output: output as unknown as Tensor<R, readonly [T, H]>, routing };
  }

  /**
   * The trainable parameters: those of the router, then the experts' weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* parametersOf("an MoE layer's router", this.router);
    yield this.#w1;
    yield this.#w2;
  }

  /**
   * The tensors saved with the weights but not trained: the router's buffers.
   *
   * @returns The tensors, always in the same order.
   */
  buffers(): Iterable<Parameter> {
    return buffersOf("an MoE layer's router", this.router);
  }

  /** Frees the experts' weights, not the router. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const BUILD = "build an MoE layer";

/** The plan of a routing's mask, or of its gates where the library did not make the routing. */
function planOf(
  routing: Routing,
  gates: DeviceTensor<"f32", readonly [number, number]>,
  capacity: number,
): DeviceTensor<"i32"> {
  const [tokens, experts] = gates.shape;
  if (Routed.isOne(routing)) return dispatchPlan(routing.mask, tokens, experts, capacity);
  const { mask, counts } = routingMask(gates);
  const plan = dispatchPlan(mask, tokens, experts, capacity);
  mask[Symbol.dispose]();
  counts[Symbol.dispose]();
  return plan;
}

/** Refuses a routing whose statistics may not match its gates. */
function requireRouted(routing: Routing): Routed<number, number> {
  if (Routed.isOne(routing)) return routing;
  throw new TypeError(
    "Cannot record the statistics of a routing that the library did not make: they may not match " +
      "its gates; return routingOf(gates) from the router's route(), or another router's routing " +
      "unchanged",
  );
}
