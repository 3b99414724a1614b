/** What a router may know of its tokens besides their hidden states. @module */

import {
  requireFunction,
  requireOneOf,
  requireOptions,
  requireWhole,
  shown,
} from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { i32, operands } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import type { Routing } from "./routing.ts";

/** Sees what a layer's router decided; the tensors belong to the open scope. */
export type RoutingObserver = (layer: number, routing: Routing) => void;

/** Text that is being generated: whole prompts first, then one token per sequence at a time. */
export interface GenerationContext {
  /** True: the prompts, padded at their ends to the longest. False: one new token per sequence. */
  readonly isPrefill: boolean;
  /** Tokens of each sequence: of its prompt, or before the new token. */
  readonly lengths: readonly number[];
}

/**
 * What a router may know of its tokens besides their hidden states. Most need none of it.
 *
 * @example Routing by token id alone
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Device, embedding, read, routingOf } from "@remoe/remoe";
 * import type { Router, RoutingContext, Tensor } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const gateOf = device.from([1, 0, 0, 1], [2, 2]); // of each token of a vocabulary of two
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
  /** Ids of the tokens `[T]`; null where a layer runs on states alone. */
  readonly tokens: Tensor<"i32", readonly [number]> | null;
  /** Tokens per sequence, S: the T tokens are T / S sequences, one after the other. */
  readonly sequence: number;
  /** Whether the model is being trained: only then do routers sample or add noise. */
  readonly training: boolean;
  /** Optimizer steps taken so far; infinite once training is over, where every schedule has ended. */
  readonly step: number;
  /** The MoE layer, counted from 0. */
  readonly layer: number;
  /** Set while text is generated with a cache. */
  readonly generation: GenerationContext | null;
  /** Sees the routing. */
  readonly onRouting?: RoutingObserver | undefined;
}

/** What a caller may say of a forward pass; the layer knows the rest. */
export interface ForwardOptions {
  /** Whether the model is being trained. Default: whether a tape is recording. */
  readonly training?: boolean | undefined;
  /** Optimizer steps taken so far. Default infinite: every schedule has ended. */
  readonly step?: number | undefined;
  /** Sees the routing of each layer; its tensors belong to the open scope. */
  readonly onRouting?: RoutingObserver | undefined;
}

/** Checks the options of a forward pass, and completes them. */
export function forwardContext(
  operation: string,
  options: ForwardOptions,
  isRecording: boolean,
): Pick<RoutingContext, "training" | "step" | "onRouting"> {
  requireOptions(operation, options, { training: true, step: true, onRouting: true });
  const { training = isRecording, step = Infinity, onRouting } = options;
  requireOneOf(operation, "training", training, [true, false]);
  if (step !== Infinity) requireWhole(operation, "step", step);
  if (onRouting !== undefined) requireFunction(operation, "onRouting", onRouting);
  return { training, step, onRouting };
}

/** The context of a layer that runs on the states `x`, completed where the caller gave part of it. */
export function layerContext(
  operation: string,
  x: DeviceTensor<"f32">,
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
  const rest = forwardContext(operation, { training, step, onRouting }, x.memory.recorder !== null);
  return { tokens, sequence, layer: at, generation, ...rest };
}

/** Refuses ids that are not one per state. */
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
