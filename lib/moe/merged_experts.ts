/** The merging layer: experts are averaged, and each token runs through one average. @module */

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
import { describeLayer, showsItself } from "../tensor/display.ts";
import type { Real } from "../tensor/dtype.ts";
import { i32, operands, real } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { runExperts } from "./experts.ts";
import { createExperts } from "./expert_weights.ts";
import { type KeptRows, keptRowsOf } from "./kept_rows.ts";
import { routingOfMerging } from "./lory_router.ts";
import { mergeExperts } from "./merge_experts.ts";
import { oneNetworkEach, recordMerging } from "./merged_dispatch.ts";
import type { MergingRouter } from "./merging_router.ts";
import type { MoEOptions } from "./moe_options.ts";
import { requireStates, statesFor } from "./router_input.ts";
import { layerContext, type RoutingContext } from "./routing_context.ts";

/** Settings of {@linkcode MergedExperts}; `width` is that of the averages, too. */
export interface MergedExpertsOptions<
  H extends number = number,
  E extends number = number,
  R extends Real = "f32",
> extends Omit<MoEOptions<H, E, R>, "capacity"> {
  /** Decides how the experts are merged; the caller disposes of it. */
  router: MergingRouter<H, E>;
}

/** Result of {@linkcode MergedExperts.forward}. */
export interface MergedResult<
  T extends number = number,
  H extends number = number,
  E extends number = number,
  R extends Real = "f32",
> {
  /** `[T, H]`. */
  readonly output: Tensor<R, readonly [T, H]>;
  /** Weights of the experts in each merged network, `[N, E]`. */
  readonly weights: Tensor<"f32", readonly [number, E]>;
}

/**
 * Lory's layer: averages the experts' weights, θ_n = Σ_e w[n,e] · θ_e, and runs each token through
 * the SwiGLU network of its segment. All experts get a gradient from every token, at the cost of
 * one expert per token and of E per segment for the averages. These take
 * `12 · N · hidden · width` bytes, half of that in bf16, and are kept for the backward pass. They are
 * averages of the fp32 weights in either type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, LoryRouter, MergedExperts } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new LoryRouter(device, { hidden: 16, experts: 4 });
 * using layer = new MergedExperts(device, { router, hidden: 16, width: 32 });
 * using _scope = device.scope();
 * const { output, weights } = layer.forward(device.normal([10, 16]));
 * assert(output.shape[0] === 10 && weights.shape.join() === "4,4");
 * ```
 */
export class MergedExperts<
  const H extends number = number,
  const E extends number = number,
  R extends Real = "f32",
> implements Disposable {
  /** The layer's router. */
  readonly router: MergingRouter<H, E>;
  readonly #w1: ParameterTensor<readonly [number, number, number]>;
  readonly #w2: ParameterTensor<readonly [number, number, number]>;
  readonly #dtype: R;
  readonly #kept: KeptRows;
  readonly #state: StepState | null;
  readonly #layer: number;
  readonly #owned: DisposableStack;

  static {
    showsItself(MergedExperts, (layer) =>
      describeLayer("MergedExperts", {
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
   * @throws {ConfigError} If sizes do not match the router's or the state's, the router does not
   * merge, or a setting is out of range.
   */
  constructor(device: Device, options: MergedExpertsOptions<H, E, R>) {
    requireOptions(BUILD, options, {
      ...{ router: true, hidden: true, width: true, deviation: true, outputDeviation: true },
      ...{ name: true, state: true, layer: true, kept: true, dtype: true },
    });
    const { router } = options;
    requireMerging(router);
    // An expert is merged as one row of all its weights.
    const bounds = (hidden: number, width: number) => ({
      "2 · width · hidden": 2 * width * hidden,
    });
    const made = createExperts<R>(BUILD, device, router, options, bounds, "none");
    this.router = router;
    this.#w1 = made.w1;
    this.#w2 = made.w2;
    this.#dtype = made.dtype;
    this.#kept = made.kept;
    this.#state = made.state;
    this.#layer = made.layer;
    this.#owned = made.owned;
  }

  /**
   * Runs the layer.
   *
   * @param x Hidden states `[T, H]`, in the layer's type.
   * @param context Context for the router. By default the tokens are one sequence.
   * @returns The results of the tokens' networks, and how those were merged.
   * @throws {ShapeMismatchError} If the hidden size does not match, the router's weights are not
   * `[N, E]`, or the context is for another number of tokens.
   */
  forward<T extends number>(
    x: Tensor<R, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): MergedResult<T, H, E, R> {
    const given = operands(`${RUN} on`, real<Tensor<R, readonly [T, H]>>(x), this.#w1);
    const states = given[0] as DeviceTensor<R, readonly [T, H]>;
    requireType(states, this.#dtype);
    const [experts, hidden] = this.#w1.shape;
    requireStates(RUN, states, hidden, this.#w1);
    const place = layerContext(`${RUN} on`, states, this.#layer, context);
    const merging = this.router.merge<T>(statesFor(this.router, states), place);
    const [weights, networkOf] = operands(
      `${RUN} with weights`,
      merging?.weights,
      i32(merging.networkOf),
    );
    requireWeights(weights, networkOf, states.shape[0], experts);
    const { gates, plan } = oneNetworkEach(networkOf, weights.shape[0]);
    if (this.#state !== null && states.memory.recorder !== null) {
      recordMerging(this.#state, this.#layer, { weights, plan, tokens: merging.tokens });
    }
    place.onRouting?.(place.layer, routingOfMerging(merging));
    const keptRows = Math.min(keptRowsOf(RUN, this.#kept), states.shape[0]);
    const [w1, w2] = [this.#w1, this.#w2].map((all) => mergeExperts(weights, all, this.#dtype));
    const output = runExperts<R>({ x: states, w1: w1!, w2: w2!, gates, plan, keptRows });
    return {
      output: output as unknown as Tensor<R, readonly [T, H]>,
      weights: merging.weights,
    };
  }

  /**
   * The trainable parameters: those of the router, then the experts' weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield* parametersOf("a merging layer's router", this.router);
    yield this.#w1;
    yield this.#w2;
  }

  /**
   * The tensors saved with the weights but not trained: the router's buffers.
   *
   * @returns The tensors, always in the same order.
   */
  buffers(): Iterable<Parameter> {
    return buffersOf("a merging layer's router", this.router);
  }

  /** Frees the experts' weights, not the router. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const BUILD = "build a merging layer";
const RUN = "run a merging layer";

function requireMerging(router: MergingRouter): void {
  if (typeof router?.merge !== "function") {
    throw new ConfigError(
      `Cannot ${BUILD}: router is ${shown(router)}, expected one that merges, such as a LoryRouter`,
    );
  }
}

function requireType({ dtype }: DeviceTensor, own: Real): void {
  if (dtype === own) return;
  throw new TypeError(`Cannot ${RUN} of ${own} on states of ${dtype}: cast them first`);
}

function requireWeights(
  { shape }: DeviceTensor,
  networkOf: DeviceTensor,
  tokens: number,
  experts: number,
): void {
  const areOnePerToken = networkOf.shape.length === 1 && networkOf.shape[0] === tokens;
  const fits = shape.length === 2 && shape[1] === experts && areOnePerToken;
  if (fits) return;
  throw new ShapeMismatchError(
    `Cannot ${RUN} of ${experts} experts on ${tokens} tokens with weights of shape ` +
      `${showShape(shape)} for networks of shape ${showShape(networkOf.shape)}: the router must ` +
      `give [networks, ${experts}] and [${tokens}]`,
  );
}
