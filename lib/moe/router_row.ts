/** What is known of a router before it is built: a row of the table of routers. @module */

import type { Device } from "../autograd/device.ts";
import type { StepState } from "../autograd/step_state.ts";
import type { Router } from "./router.ts";

/** A setting's value; plain JSON. */
export type RouterValue = number | string | boolean;

/** A finite number, as a router's setting. */
export interface NumberKey {
  /** What kind of value it is. */
  readonly type: "number";
  /** The value lies above this. */
  readonly above?: number;
  /** The value is at least this; 0 where neither bound is given. */
  readonly least?: number;
  /** The value lies below this. */
  readonly below?: number;
  /** The value is at most this. */
  readonly most?: number;
  /** The value where none is given, or the key of the same row that it is a fraction of. */
  readonly default: number | { readonly of: string; readonly dividedBy: number };
  /** What the setting is for, as the help says it. */
  readonly about: string;
}

/** A whole number, as a router's setting. */
export interface WholeKey {
  /** What kind of value it is. */
  readonly type: "whole";
  /** The least value. */
  readonly least: number;
  /** The greatest value; default 2³¹ - 1. */
  readonly most?: number;
  /** The value where none is given. */
  readonly default: number;
  /** What the setting is for, as the help says it. */
  readonly about: string;
}

/** One of several names, as a router's setting. */
export interface ChoiceKey<Value extends string = string> {
  /** What kind of value it is. */
  readonly type: "choice";
  /** The names. */
  readonly values: readonly Value[];
  /** The value where none is given. */
  readonly default: NoInfer<Value>;
  /** What the setting is for, as the help says it. */
  readonly about: string;
}

/** Yes or no, as a router's setting. */
export interface FlagKey {
  /** What kind of value it is. */
  readonly type: "flag";
  /** The value where none is given. */
  readonly default: boolean;
  /** What the setting is for, as the help says it. */
  readonly about: string;
}

/** A setting as plain JSON, from which the configuration's schema and the help are made. */
export type RouterKey<Value = RouterValue> = [RouterValue] extends [Value]
  ? NumberKey | WholeKey | ChoiceKey | FlagKey
  : [Value] extends [number] ? NumberKey | WholeKey
  : [Value] extends [string] ? ChoiceKey<Value>
  : FlagKey;

/** Settings by name, each what it must be. */
export type RouterKeysOf<Values> = {
  readonly [Name in keyof Values]: RouterKey<Values[Name]>;
};

/** What every routed configuration says, whatever its router. */
export interface MixtureSizes {
  /** Full-size experts per layer, E. */
  readonly experts: number;
  /** Full-size experts per token on average, k. */
  readonly active: number;
  /** Parts that each expert is split into, G. */
  readonly granularity: number;
}

/** What a router adds to the loss. */
export interface RouterLoss {
  /** Its name in charts and logs. */
  readonly name: string;
  /** What it is, in words. */
  readonly about: string;
  /** Which of a step's figures holds it, without its coefficient. */
  readonly figure: "l1" | "balance";
}

/** From a step on, how many of the E·G experts a token has at most, on average over its batch. */
export interface ActiveFrom {
  /** The step, counted from 0. */
  readonly from: number;
  /** Experts of width `ffn / G` per token. */
  readonly most: number;
}

/** What holds for a router whatever its settings are; plain JSON. */
export interface RouterTraits {
  /** What it does, in a few words for the help. */
  readonly about: string;
  /** Whether it chooses experts. Without a choice a layer has one expert, as in a dense model. */
  readonly routed: boolean;
  /** Whether a token's experts never depend on later tokens, so that text can be generated. */
  readonly causal: boolean;
  /** Whether it draws random numbers in training. */
  readonly draws: boolean;
  /** Whether every layer has exactly the wanted number of rows, by construction. */
  readonly exact: boolean;
  /** Whether its loss has the coefficient λ, which can follow the sparsity (equation 7). */
  readonly lambda: boolean;
  /** What it adds to the loss; null: nothing. */
  readonly loss: RouterLoss | null;
}

/**
 * A router as configuration, memory planning, figures and charts see it.
 *
 * @typeParam Keys The values of its settings.
 *
 * @example A router without weights that opens every expert for some steps
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import type { RouterSpec } from "@remoe/remoe";
 *
 * const spec: Pick<RouterSpec, "adapts" | "activeFrom" | "weights" | "problems" | "notices" | "starving"> = {
 *   adapts: () => false,
 *   activeFrom: ({ experts, active, granularity, open_steps }) => [
 *     { from: 0, most: experts * granularity },
 *     { from: Number(open_steps), most: active * granularity },
 *   ],
 *   weights: () => 0,
 *   problems: ({ active }) => active === 1 ? [] : [`moe.active is ${active}, expected 1`],
 *   notices: ({ open_steps }) => open_steps === 0 ? ["moe.open_steps is 0: no expert opens"] : [],
 *   starving: () => "a larger moe.open_steps helps",
 * };
 * const moe = { experts: 8, active: 2, granularity: 1, open_steps: 0 };
 * assertEquals(spec.activeFrom(moe).at(-1), { from: 0, most: 2 });
 * assertEquals([spec.problems(moe).length, spec.notices(moe).length], [1, 1]);
 * assertEquals([spec.adapts(moe), spec.weights(16, 8)], [false, 0]);
 * assertEquals(spec.starving(moe), "a larger moe.open_steps helps");
 * ```
 */
export interface RouterSpec<Keys extends object = Readonly<Record<string, RouterValue>>>
  extends RouterTraits {
  /** The keys of `moe` that it reads. Rows that share a key share its definition. */
  readonly keys: RouterKeysOf<Keys>;
  /**
   * Whether λ follows the sparsity under these settings.
   *
   * @param moe Sizes and settings.
   * @returns False where λ stays as it is, or there is none.
   */
  adapts(moe: MixtureSizes & Keys): boolean;
  /**
   * How many experts it activates in the course of a run.
   *
   * @param moe Sizes and settings.
   * @returns Bounds by step, the first from step 0.
   */
  activeFrom(moe: MixtureSizes & Keys): readonly ActiveFrom[];
  /**
   * How many numbers of one layer's router are trained. A token's logits take as many
   * multiply-adds.
   *
   * @param hidden Size of a token's hidden state.
   * @param experts Experts of the layer, E·G.
   * @returns A whole number.
   */
  weights(hidden: number, experts: number): number;
  /**
   * What is wrong between its settings and the sizes, each value by itself being right.
   *
   * @param moe Sizes and settings.
   * @returns One sentence per problem.
   */
  problems(moe: MixtureSizes & Keys): readonly string[];
  /**
   * Which of its settings have no effect beside the others.
   *
   * @param moe Sizes and settings.
   * @returns One sentence per setting.
   */
  notices(moe: MixtureSizes & Keys): readonly string[];
  /**
   * What helps where experts get no tokens.
   *
   * @param moe Sizes and settings.
   * @returns The end of a sentence.
   */
  starving(moe: MixtureSizes & Keys): string;
}

/** The place of a router in a model. */
export interface RouterPlace {
  /** Size of a token's hidden state. */
  readonly hidden: number;
  /** Experts of the layer, E·G. */
  readonly experts: number;
  /** Experts wanted per token, k·G. */
  readonly active: number;
  /** MoE layers of the model. */
  readonly layers: number;
  /** Which of them this is, from 0. */
  readonly layer: number;
  /** Standard deviation of the initial weights. */
  readonly deviation: number;
  /** Name of the weight in checkpoints, `[hidden, experts]`; further ones append to it. */
  readonly name: string;
  /** Where λ lives, and the routing's statistics. */
  readonly state: StepState;
}

/**
 * A user-defined router, as the default export of a file that `moe.router` names. Only `build` is
 * needed; by default a router is causal, draws nothing, adds nothing to the loss, may activate every
 * expert, and has `hidden · experts` weights.
 *
 * @typeParam Keys The values of its settings.
 *
 * @example ReLU routing on scaled inputs, whose λ follows the sparsity; `export default row` makes
 * a file of it
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, LAMBDA_KEYS, type LambdaKeys, MoE, ReluRouter, scale } from "@remoe/remoe";
 * import { type Router, type RouterRow, StepState, type Tensor } from "@remoe/remoe";
 *
 * const row: RouterRow<LambdaKeys & { input_scale: number }> = {
 *   lambda: true,
 *   keys: {
 *     ...LAMBDA_KEYS,
 *     input_scale: { type: "number", above: 0, default: 2, about: "What inputs are multiplied by" },
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
 * const settings = { lambda0: 1e-8, alpha: 1.2, lambda_floor: 0, lambda_ceiling: 1e4, input_scale: 2 };
 * const sizes = { hidden: 16, experts: 4, active: 1, deviation: 0.1 };
 * const place = { ...sizes, layers: 1, layer: 0, name: "gate.weight", state };
 * using router = row.build(device, place, settings);
 * using layer = new MoE(device, { router, hidden: 16, width: 8 });
 * assert(layer.forward(device.normal([8, 16])).routing.gates.shape[1] === 4);
 * ```
 */
export interface RouterRow<Keys extends object = Readonly<Record<string, RouterValue>>>
  extends Partial<Omit<RouterSpec<Keys>, "routed">> {
  /**
   * Builds the router of one layer.
   *
   * @param device Where it lives.
   * @param place Its sizes and its place in the model.
   * @param settings The values of its keys.
   * @returns The router; the model disposes of it.
   */
  build(device: Device, place: RouterPlace, settings: Keys): Router;
}

/**
 * Builds the router of one layer.
 *
 * @typeParam Keys The values of its settings.
 */
export type RouterBuild<Keys extends object = Readonly<Record<string, RouterValue>>> = RouterRow<
  Keys
>["build"];
