/** The MoE layer: a router and its experts. @module */

import { requireFunction, requireOptions, requireText, requireWhole, shown } from "../arguments.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { buffersOf, type Parameter, parametersOf, ParameterTensor } from "../autograd/parameter.ts";
import { requireStateOn, type StepState } from "../autograd/step_state.ts";
import { showShape } from "../tensor/shape_math.ts";
import { operands } from "../tensor/operands.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { dispatchPlan, planCapacity } from "./dispatch_plan.ts";
import { runExperts } from "./experts.ts";
import type { KeptRows } from "./kept_rows.ts";
import { Routed } from "./routed.ts";
import type { Router } from "./router.ts";
import type { Routing } from "./routing.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";
import { requireStates } from "./router_input.ts";
import { routingMask } from "./routing_mask.ts";

/** Settings of {@linkcode MoE}. */
export interface MoEOptions<H extends number = number, E extends number = number> {
  /** Decides which experts each token goes to; the caller disposes of it. */
  router: Router<H, E>;
  /** Size of a token's hidden state. */
  hidden: NoInfer<H>;
  /** Width of one expert: the dense width divided by the granularity. */
  width: number;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Same, for the down projections. Default `deviation` / √2, the paper's for one layer. */
  outputDeviation?: number;
  /** Prefix of the weights' names in checkpoints. Default `experts`. */
  name?: string;
  /** Accumulates the routing statistics while a tape records. */
  state?: StepState;
  /** Index of this layer in `state`. Default 0. */
  layer?: number;
  /** How many routed rows keep their pre-activations for the backward pass. Default all. */
  kept?: KeptRows;
}

/** Result of {@linkcode MoE.forward}. */
export interface MoEResult<
  T extends number = number,
  H extends number = number,
  E extends number = number,
> {
  /** `[T, H]`; exactly 0 for a token without an expert. */
  readonly output: Tensor<"f32", readonly [T, H]>;
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
export class MoE<const H extends number = number, const E extends number = number>
  implements Disposable {
  /** The layer's router. */
  readonly router: Router<H, E>;
  readonly #w1: ParameterTensor<readonly [number, number, number]>;
  readonly #w2: ParameterTensor<readonly [number, number, number]>;
  readonly #kept: KeptRows;
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
  constructor(device: Device, options: MoEOptions<H, E>) {
    requireOptions("build an MoE layer", options, {
      router: true,
      hidden: true,
      width: true,
      deviation: true,
      outputDeviation: true,
      name: true,
      state: true,
      layer: true,
      kept: true,
    });
    const { router, hidden, width, state = null, layer = 0, name = "experts" } = options;
    if (typeof router?.route !== "function") {
      throw new ConfigError(
        `Cannot build an MoE layer: router is ${shown(router)}, expected one such as a ReluRouter`,
      );
    }
    requireFunction("build an MoE layer", "router.parameters", router.parameters);
    for (const name of ["buffers", "afterStep"] as const) {
      if (router[name] !== undefined) {
        requireFunction("build an MoE layer", `router.${name}`, router[name]);
      }
    }
    // Read once: a getter may return something else the next time.
    const { experts, hidden: routed } = router;
    requireSizes("build an MoE layer", { hidden, width, "router.experts": experts });
    requireSizes("build an MoE layer", { "2 · width": 2 * width });
    const { deviation = initialDeviation(hidden), kept = { rows: Infinity } } = options;
    const { outputDeviation = deviation / Math.SQRT2 } = options;
    requireText("build an MoE layer", "name", name);
    requireNumbers("build an MoE layer", { deviation, outputDeviation }, { least: 0 });
    requireWhole("build an MoE layer", "layer", layer);
    keptRowsOf("build an MoE layer", kept);
    if (routed !== hidden) {
      throw new ConfigError(
        `Cannot build an MoE layer of hidden size ${hidden} with a router of hidden size ` +
          shown(routed),
      );
    }
    const memory = memoryOf(device);
    if (state !== null) requireStateOn("record routing in", memory, state);
    if (state !== null && (state.experts !== experts || layer >= state.layers)) {
      throw new ConfigError(
        `Cannot keep the statistics of layer ${layer} with ${experts} experts in a state of ` +
          `${state.layers} layers and ${state.experts} experts`,
      );
    }
    this.router = router;
    this.#kept = kept;
    this.#state = state;
    this.#layer = layer;
    using made = new DisposableStack();
    const weight = (part: string, rows: number, columns: number) =>
      made.use(ParameterTensor.make(memory, `${name}.${part}`, [experts, rows, columns], true));
    this.#w1 = weight("w1", hidden, 2 * width);
    this.#w2 = weight("w2", width, hidden);
    fillNormal(this.#w1, 0, deviation);
    fillNormal(this.#w2, 0, outputDeviation);
    this.#owned = made.move();
  }

  /**
   * Runs the layer.
   *
   * @param x Hidden states `[T, H]`.
   * @param context Context for the router. By default the tokens are one sequence with unknown ids,
   * in training if a tape records.
   * @returns The weighted sum of the experts' outputs, and the routing.
   * @throws {ShapeMismatchError} If the hidden size does not match, the router's gates are not
   * `[T, E]`, or the context is for another number of tokens.
   */
  forward<T extends number>(
    x: Tensor<"f32", readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): MoEResult<T, H, E> {
    const [states] = operands("run an MoE layer on", x, this.#w1);
    const [experts, hidden] = this.#w1.shape;
    requireStates("run an MoE layer", states, hidden, this.#w1);
    const place = layerContext("run an MoE layer on", states, this.#layer, context);
    const routing = this.router.route(x, place);
    const [, gates] = operands("run experts with states and gates", x, routing?.gates);
    const [tokens] = states.shape;
    if (gates.shape.length !== 2 || gates.shape[0] !== tokens || gates.shape[1] !== experts) {
      throw new ShapeMismatchError(
        `Cannot run ${experts} experts on ${tokens} tokens with gates of shape ` +
          `${showShape(gates.shape)}: the router must give [${tokens}, ${experts}]`,
      );
    }
    const plan = planOf(routing, gates);
    if (this.#state !== null && states.memory.recorder !== null) {
      requireRouted(routing).recordIn(this.#state, this.#layer, plan);
    }
    place.onRouting?.(place.layer, routing);
    const rows = keptRowsOf("run an MoE layer", this.#kept);
    const keptRows = Math.min(rows, planCapacity(tokens, experts));
    const output = runExperts({ x: states, w1: this.#w1, w2: this.#w2, gates, plan, keptRows });
    return { output: output as unknown as Tensor<"f32", readonly [T, H]>, routing };
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

/** Rows to keep, read and checked in every step: the caller may change them in between. */
export function keptRowsOf(operation: string, kept: KeptRows): number {
  const rows: unknown = kept?.rows;
  if (rows !== Infinity) requireWhole(operation, "kept.rows", rows);
  return rows as number;
}

/** The plan of a routing's mask, or of its gates where the library did not make the routing. */
function planOf(
  routing: Routing,
  gates: DeviceTensor<"f32", readonly [number, number]>,
): DeviceTensor<"i32"> {
  const [tokens, experts] = gates.shape;
  if (Routed.isOne(routing)) return dispatchPlan(routing.mask, tokens, experts);
  const { mask, counts } = routingMask(gates);
  const plan = dispatchPlan(mask, tokens, experts);
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
