/** The context of a forward pass that routers may depend on. @module */

import { requireFlag, requireFunction, requireOptions, requireWhole, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { i32, operands } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import type { Routing } from "./routing.ts";

/** Called with a layer's routing; its tensors belong to the open scope. */
export type RoutingObserver = (layer: number, routing: Routing) => void;

/**
 * What a router keeps of the prompts for the tokens after them, beside a layer's keys and values.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, LoryRouter, type RouterMemory, type Tensor } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new LoryRouter(device, { hidden: 16, experts: 4 });
 * let kept: Tensor<"f32"> | null = null;
 * const memory: RouterMemory = { read: () => kept, keep: (state) => kept = state };
 * // Two prompts of two and three tokens.
 * const generation = { lengths: [0, 0], counts: [2, 3], scored: false, memory };
 * router.merge(device.normal([5, 16]), { generation });
 * assert(memory.read()?.shape.join() === "2,4"); // model.prefill() keeps it in its cache
 * ```
 */
export interface RouterMemory {
  /**
   * Returns what was kept of the sequences at hand.
   *
   * @returns A row for each, 0 for those of which nothing was kept; null if that is all.
   */
  read(): Tensor<"f32"> | null;
  /**
   * Keeps a copy of a tensor until other sequences begin in their place.
   *
   * @param state A row for each of the sequences at hand; replaces what was kept of them before.
   */
  keep(state: Tensor<"f32">): void;
}

/**
 * State of generation with a cache: sequences begin with their prompts, then get one token at a time
 * or several. The T tokens at hand are the new ones, one sequence after the other, without padding.
 */
export interface GenerationContext {
  /** Tokens of each sequence before the new ones; 0 where it begins. */
  readonly lengths: readonly number[];
  /** New tokens of each sequence, at least 1. */
  readonly counts: readonly number[];
  /** Whether what follows every new token is scored, rather than only predicted after the last. */
  readonly scored: boolean;
  /** The layer's place for what its router keeps of the prompts. Models give one. */
  readonly memory?: RouterMemory | undefined;
}

/**
 * Context of the tokens being routed, besides their hidden states. Most routers ignore it.
 *
 * @example Routing by token id alone
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, embedding, read, routingOf } from "@remoe/remoe";
 * import type { Router, RoutingContext, Tensor } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const gateOf = device.from([1, 0, 0, 1], [2, 2]); // gates per token of a vocabulary of two
 * const byToken: Router = {
 *   ...{ hidden: 8, experts: 2, active: 1 },
 *   route<T extends number>(_x: Tensor<"f32", readonly [T, number]>, context: RoutingContext) {
 *     return routingOf(embedding(gateOf, context.tokens as Tensor<"i32", readonly [T]>));
 *   },
 *   parameters: () => [],
 *   [Symbol.dispose]() {},
 * };
 * const tokens = device.tokens([1, 0, 1]);
 * const context = { tokens, sequence: 3, training: false, step: 0, layer: 0, generation: null };
 * const { counts } = byToken.route(device.normal([3, 8]), context);
 * assertEquals([...await read(counts)], [1, 2]);
 * ```
 */
export interface RoutingContext {
  /** Token ids `[T]`; null if the layer runs on hidden states alone. */
  readonly tokens: Tensor<"i32", readonly [number]> | null;
  /**
   * Tokens per sequence, S; the T tokens form T / S consecutive sequences. While generating,
   * `generation.counts` says how many each has, and S is 1 if they differ.
   */
  readonly sequence: number;
  /** Whether the model is being trained; routers sample or add noise only then. */
  readonly training: boolean;
  /** Optimizer steps taken so far; Infinity outside training, when every schedule has ended. */
  readonly step: number;
  /** Index of the MoE layer, from 0. */
  readonly layer: number;
  /** Set while generating with a cache, else null. */
  readonly generation: GenerationContext | null;
  /** Called with the routing. */
  readonly onRouting?: RoutingObserver | undefined;
}

/** Settings of a forward pass. */
export interface ForwardOptions {
  /** Whether the model is being trained. Default: whether a tape is recording. */
  readonly training?: boolean | undefined;
  /** Optimizer steps taken so far. Default Infinity: every schedule has ended. */
  readonly step?: number | undefined;
  /** Called with the routing of each layer; its tensors belong to the open scope. */
  readonly onRouting?: RoutingObserver | undefined;
}

/** Checks the options of a forward pass and fills in the defaults. */
export function forwardContext(
  operation: string,
  options: ForwardOptions,
  isRecording: boolean,
): Pick<RoutingContext, "training" | "step" | "onRouting"> {
  requireOptions(operation, options, { training: true, step: true, onRouting: true });
  const { training = isRecording, step = Infinity, onRouting } = options;
  requireFlag(operation, "training", training);
  if (step !== Infinity) requireWhole(operation, "step", step);
  if (onRouting !== undefined) requireFunction(operation, "onRouting", onRouting);
  return { training, step, onRouting };
}

/** Checks a partial context and completes it for a layer that runs on the states `x`. */
export function layerContext(
  operation: string,
  x: DeviceTensor,
  layer: number,
  given: Partial<RoutingContext>,
): RoutingContext {
  requireOptions(operation, given, {
    tokens: true,
    sequence: true,
    training: true,
    step: true,
    layer: true,
    generation: true,
    onRouting: true,
  });
  const [count = 0] = x.shape;
  const { tokens = null, sequence = count, generation = null, training, step, onRouting } = given;
  const { layer: at = layer } = given;
  requireWhole(operation, "sequence", sequence, { least: 1 });
  requireWhole(operation, "layer", at);
  if (count % sequence !== 0) {
    throw new ShapeMismatchError(
      `Cannot ${operation} ${count} tokens: sequence is ${sequence}, expected a divisor of them`,
    );
  }
  if (tokens !== null) requireTokens(operation, tokens, count);
  if (generation !== null && typeof generation !== "object") {
    throw new TypeError(
      `Cannot ${operation}: generation is ${shown(generation)}, expected an object`,
    );
  }
  const rest = forwardContext(operation, { training, step, onRouting }, x.memory.isRecording);
  return { tokens, sequence, layer: at, generation, ...rest };
}

/** Throws unless there is one id per state. */
function requireTokens(
  operation: string,
  tokens: Tensor<"i32", readonly [number]>,
  count: number,
): void {
  const [ids] = operands(`${operation} tokens of`, i32(tokens));
  if (ids.shape.length === 1 && ids.shape[0] === count) return;
  throw new ShapeMismatchError(
    `Cannot ${operation} ${count} states with tokens of shape ${showShape(ids.shape)}: ` +
      `each state needs its token's id`,
  );
}
