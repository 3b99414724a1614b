/** Rows of the table of routers: what is known of a router before it is built. @module */

import type { Device } from "../autograd/device.ts";
import type { StepState } from "../autograd/step_state.ts";
import type { Router } from "./router.ts";
import type { ExpertSizes } from "./layer_sizes.ts";
import type { RouterFootprint } from "./router_footprint.ts";
import type { RouterKeysOf, RouterValue } from "./router_keys.ts";

/** The sizes in every configuration, whatever its router. */
export type MixtureSizes = ExpertSizes;

/** The term that a router adds to the loss. */
export interface RouterLoss {
  /** Its name in charts and logs. */
  readonly name: string;
  /** Description, in words. */
  readonly about: string;
  /** The step metric that holds it, without its coefficient. */
  readonly figure: "l1" | "balance";
}

/** Bound, from some step on, on the active experts per token, averaged over a batch. */
export interface ActiveFrom {
  /** The step, counted from 0. */
  readonly from: number;
  /** At most this many of the E·G experts of width `ffn / G`. */
  readonly most: number;
}

/** A micro-batch, as far as the number of rows that a router routes depends on it. */
export interface RoutedBatch {
  /** Its tokens. */
  readonly tokens: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /** The step, counted from 0. */
  readonly step: number;
}

/** Properties of a router that do not depend on its settings; plain JSON. */
export interface RouterTraits {
  /** Short description for the help. */
  readonly about: string;
  /** Whether it selects experts; if not, each layer has a single expert, as in a dense model. */
  readonly routed: boolean;
  /**
   * Whether its layers average the experts' weights instead of choosing experts; its builder then
   * makes a {@linkcode MergingRouter}.
   */
  readonly merges: boolean;
  /**
   * Whether a token's experts never depend on later tokens, as generation requires. A few first
   * tokens of a sequence may be excepted, see {@linkcode RouterSpec.causalFrom}.
   */
  readonly causal: boolean;
  /** Whether it draws random numbers during training. */
  readonly draws: boolean;
  /** Whether every layer routes exactly the target number of rows, by construction. */
  readonly exact: boolean;
  /** Whether its loss term has the coefficient λ, which can adapt to the sparsity (equation 7). */
  readonly lambda: boolean;
  /** The term it adds to the loss, or null. */
  readonly loss: RouterLoss | null;
}

/**
 * A router as seen by configuration, memory planning, metrics and charts.
 *
 * @typeParam Keys The values of the router's settings.
 *
 * @example A router without weights that opens every expert for some steps
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import type { RouterSpec, RouterTraits } from "@remoe/remoe";
 *
 * const spec: Omit<RouterSpec, keyof RouterTraits | "keys"> = {
 *   adapts: () => false,
 *   activeFrom: ({ experts, active, granularity, open_steps }) => [
 *     { from: 0, most: experts * granularity },
 *     { from: Number(open_steps), most: active * granularity },
 *   ],
 *   rows: ({ experts, active, open_steps }, { tokens, step }) =>
 *     tokens * (step < Number(open_steps) ? experts : active),
 *   causalFrom: () => 0,
 *   weights: () => 0,
 *   footprint: () => ({ kept: 0, scratch: 0 }),
 *   problems: ({ active }) => active === 1 ? [] : [`moe.active is ${active}, expected 1`],
 *   notices: ({ open_steps }) => open_steps === 0 ? ["moe.open_steps is 0: no expert opens"] : [],
 *   starving: () => "a larger moe.open_steps helps",
 * };
 * const moe = { experts: 8, active: 2, granularity: 1, open_steps: 0 };
 * assertEquals(spec.activeFrom(moe).at(-1), { from: 0, most: 2 });
 * assertEquals(spec.rows(moe, { tokens: 64, sequence: 32, step: 0 }), 128);
 * assertEquals([spec.problems(moe).length, spec.notices(moe).length], [1, 1]);
 * assertEquals([spec.adapts(moe), spec.weights(16, 8), spec.causalFrom(64)], [false, 0, 0]);
 * assertEquals(spec.starving(moe), "a larger moe.open_steps helps");
 * ```
 */
export interface RouterSpec<Keys extends object = Readonly<Record<string, RouterValue>>>
  extends RouterTraits {
  /** Definitions of the keys of `moe` that it reads; rows that share a key share its definition. */
  readonly keys: RouterKeysOf<Keys>;
  /**
   * Tells whether λ adapts to the sparsity under these settings.
   *
   * @param moe Sizes and settings.
   * @returns False if λ is constant or there is none.
   */
  adapts(moe: MixtureSizes & Keys): boolean;
  /**
   * Bounds how many experts it activates over the course of a run.
   *
   * @param moe Sizes and settings.
   * @returns Bounds by step, the first from step 0.
   */
  activeFrom(moe: MixtureSizes & Keys): readonly ActiveFrom[];
  /**
   * Counts the rows that a layer's experts run for a micro-batch.
   *
   * @param moe Sizes and settings.
   * @param batch The micro-batch.
   * @returns The number of rows if the router is `exact`, with its rounding, else an upper bound.
   */
  rows(moe: MixtureSizes & Keys, batch: RoutedBatch): number;
  /**
   * Tells from which token of a sequence on a causal router routes causally outside generation.
   * Losses of earlier tokens see what is to be predicted.
   *
   * @param sequence Tokens per sequence.
   * @returns The token's index; 0 for most routers.
   */
  causalFrom(sequence: number): number;
  /**
   * Counts the trainable weights of one layer's router. Logits take as many multiply-adds
   * per token.
   *
   * @param hidden Size of a token's hidden state.
   * @param experts Experts of the layer, E·G.
   * @returns The number of weights.
   */
  weights(hidden: number, experts: number): number;
  /**
   * Tells the memory that one layer's router takes beside its gates.
   *
   * @param moe Sizes and settings.
   * @returns The memory, in tensors `[T, E]`.
   */
  footprint(moe: MixtureSizes & Keys): RouterFootprint;
  /**
   * Lists conflicts between its settings and the sizes; each value is valid by itself.
   *
   * @param moe Sizes and settings.
   * @returns One sentence per problem.
   */
  problems(moe: MixtureSizes & Keys): readonly string[];
  /**
   * Lists the settings that have no effect given the others.
   *
   * @param moe Sizes and settings.
   * @returns One sentence per setting.
   */
  notices(moe: MixtureSizes & Keys): readonly string[];
  /**
   * Advises what to do if experts get no tokens.
   *
   * @param moe Sizes and settings.
   * @returns The last clause of a sentence.
   */
  starving(moe: MixtureSizes & Keys): string;
}

/** A router's sizes and its place in a model. */
export interface RouterPlace {
  /** Size of a token's hidden state. */
  readonly hidden: number;
  /** Experts of the layer, E·G. */
  readonly experts: number;
  /** Target of active experts per token, k·G. */
  readonly active: number;
  /** MoE layers of the model. */
  readonly layers: number;
  /** Index of this layer among them, from 0. */
  readonly layer: number;
  /** Standard deviation of the initial weights. */
  readonly deviation: number;
  /** Name of the weight `[hidden, experts]` in checkpoints; names of further weights extend it. */
  readonly name: string;
  /** Holds λ and the routing statistics. */
  readonly state: StepState;
}

/**
 * A user-defined router: the default export of the file that `moe.router` names. Only `build` is
 * required. By default a router is causal, draws no random numbers, adds nothing to the loss, may
 * activate every expert, and has `hidden · experts` weights.
 *
 * @typeParam Keys The values of the router's settings.
 *
 * @example ReLU routing on scaled inputs with an adaptive λ; end the file with `export default row`
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, LAMBDA_KEYS, type LambdaKeys, MoE, ReluRouter, scale } from "@remoe/remoe";
 * import { type Router, type RouterRow, StepState, type Tensor } from "@remoe/remoe";
 *
 * const row: RouterRow<LambdaKeys & { input_scale: number }> = {
 *   lambda: true,
 *   keys: {
 *     ...LAMBDA_KEYS,
 *     input_scale: { type: "number", above: 0, default: 2, about: "Factor applied to the inputs" },
 *   },
 *   build(device, place, { lambda0, alpha, input_scale }): Router {
 *     const inner = new ReluRouter(device, { ...place, lambda: lambda0, alpha });
 *     return {
 *       ...{ hidden: place.hidden, experts: place.experts, active: place.active },
 *       route: <T extends number>(x: Tensor<"f32", readonly [T, number]>) =>
 *         inner.route(scale(x, input_scale)),
 *       parameters: () => inner.parameters(),
 *       [Symbol.dispose]: () => inner[Symbol.dispose](),
 *     };
 *   },
 * };
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using state = new StepState(device, { experts: 4 });
 * const bounds = { lambda0: 1e-8, alpha: 1.2, lambda_floor: 0, lambda_ceiling: 1e4 };
 * const rule = { lambda_gain: 0.3, lambda_damping: 1, lambda_limit: 1.5 };
 * const settings = { ...bounds, ...rule, lambda_rule: "sign" as const, input_scale: 2 };
 * const sizes = { hidden: 16, experts: 4, active: 1, deviation: 0.1 };
 * const place = { ...sizes, layers: 1, layer: 0, name: "gate.weight", state };
 * using router = row.build(device, place, settings);
 * using layer = new MoE(device, { router, hidden: 16, width: 8 });
 * assert(layer.forward(device.normal([8, 16])).routing.gates.shape[1] === 4);
 * ```
 */
export interface RouterRow<Keys extends object = Readonly<Record<string, RouterValue>>>
  extends
    Partial<Omit<RouterSpec<Keys>, "routed" | "merges" | "rows" | "causalFrom" | "footprint">> {
  /**
   * Builds the router of one layer.
   *
   * @param device The router's device.
   * @param place Its sizes and its place in the model.
   * @param settings The values of its settings.
   * @returns The router; the model disposes of it.
   */
  build(device: Device, place: RouterPlace, settings: Keys): Router;
}

/**
 * Builds the router of one layer.
 *
 * @typeParam Keys The values of the router's settings.
 */
export type RouterBuild<Keys extends object = Readonly<Record<string, RouterValue>>> = RouterRow<
  Keys
>["build"];
