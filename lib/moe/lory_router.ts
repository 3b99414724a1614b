/** Lory's routing: experts are merged, once per segment of a sequence. @module */

import { requireOptions, requireText, requireWhole, shown } from "../arguments.ts";
import { ConfigError, ShapeMismatchError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { embedding } from "../autograd/embedding.ts";
import { inFp32 } from "../autograd/layout.ts";
import { matmul } from "../autograd/matmul.ts";
import { filledTensor, writtenTensor } from "../autograd/made_tensors.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { softmax } from "../autograd/reduce.ts";
import { concatenate } from "../autograd/slice.ts";
import { describeLayer, showsItself } from "../tensor/display.ts";
import { operands, real } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Real } from "../tensor/dtype.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { makeRouterWeight, PLACE_NAMES, type RouterWeight } from "./linear_router.ts";
import type { Merging, MergingRouter } from "./merging_router.ts";
import { requireStates } from "./router_input.ts";
import type { Routing } from "./routing.ts";
import {
  type GenerationContext,
  layerContext,
  type RouterMemory,
  type RoutingContext,
} from "./routing_context.ts";
import { routingOf } from "./routing_of.ts";
import { promptMeans, routingMeans } from "./segment_means.ts";
import { segmentCount, segmentLength } from "./segments.ts";

/** Settings of {@linkcode LoryRouter}. */
export interface LoryRouterOptions<H extends number = number, E extends number = number> {
  /** Size of a token's hidden state. */
  hidden: H;
  /** Number of experts. */
  experts: E;
  /** Standard deviation of the initial weights. Default 0.01 · √(768 / hidden). */
  deviation?: number;
  /** Name of the weight in checkpoints. Default `gate.weight`. */
  name?: string;
}

/**
 * Lory's router: `softmax(m W)` weights the experts' parameters, where m is the mean hidden state
 * of the segment before, and {@linkcode MergedExperts} runs the segment's tokens through the
 * average. A segment has min(256, ⌈S/4⌉) tokens.
 *
 * The first segment is routed by its own mean, without a gradient, so its losses are not causal:
 * what a token predicts has entered the mean. From the second segment on they are. In generation
 * one mean, the prompt's, routes both the prompt and all that follows it.
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
 * const { weights } = layer.forward(device.normal([24, 16]), { sequence: 12 });
 * assert(weights.shape.join() === "8,4"); // two sequences of four segments
 * const { gates } = router.route(device.normal([24, 16]), { sequence: 12 });
 * assert(gates.shape.join() === "24,4"); // the weights once per token
 * ```
 */
export class LoryRouter<const H extends number = number, const E extends number = number>
  implements MergingRouter<H, E> {
  /** It takes bf16 states. */
  readonly takesBf16 = true as const;
  readonly #weight: RouterWeight<H, E>;

  static {
    showsItself(LoryRouter, (router) =>
      describeLayer("LoryRouter", {
        hidden: router.hidden,
        experts: router.experts,
      }, router.parameters()));
  }

  /**
   * Creates a router with random weights.
   *
   * @param device The router's device.
   * @param options Sizes and initialisation.
   * @throws {ConfigError} If a size is not a whole number of at least 1, or the deviation is
   * negative.
   */
  constructor(device: Device, options: LoryRouterOptions<H, E>) {
    requireOptions("build a Lory router", options, PLACE_NAMES);
    const { hidden, experts, name = "gate.weight" } = options;
    requireSizes("build a Lory router", { hidden, experts });
    const { deviation = initialDeviation(hidden) } = options;
    requireText("build a Lory router", "name", name);
    requireNumbers("build a Lory router", { deviation }, { least: 0 });
    this.#weight = makeRouterWeight(memoryOf(device), name, [hidden, experts], deviation);
  }

  /** Size of a token's hidden state. */
  get hidden(): H {
    return this.#weight.shape[0];
  }

  /** Number of experts. */
  get experts(): E {
    return this.#weight.shape[1];
  }

  /** A token runs through one network of an expert's size. */
  get active(): number {
    return 1;
  }

  /** The weights `[hidden, experts]`. */
  get weight(): Parameter<readonly [H, E]> {
    return this.#weight;
  }

  /**
   * Decides how to merge the experts for each segment, or for each sequence in generation.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @param context Sequence and generation. By default the tokens are one sequence.
   * @returns Softmax weights, one row per segment or sequence.
   * @throws {ShapeMismatchError} If the hidden size does not match, or the context is for another
   * number of tokens.
   * @throws {TypeError} If tokens are to be routed without a memory of their prompts.
   * @throws {ConfigError} If the context is of several tokens that continue a prompt, or that are
   * scored: the mean of the prompt would then depend on how they were divided, or on what they are.
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Device, LoryRouter, read } from "@remoe/remoe";
   *
   * using device = await Device.open({ kind: "cpu", seed: 1 });
   * using router = new LoryRouter(device, { hidden: 16, experts: 4 });
   * const { networkOf, tokens } = router.merge(device.normal([8, 16]));
   * assertEquals([...await read(networkOf)], [0, 0, 1, 1, 2, 2, 3, 3]);
   * assertEquals(tokens, [2, 2, 2, 2]);
   * ```
   */
  merge<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Merging<T, E> {
    const [given] = operands(
      "route by Lory with",
      real<Tensor<Real, readonly [T, H]>>(x),
      this.#weight,
    );
    requireStates("route by Lory", given, this.hidden, this.#weight);
    const states = inFp32(given);
    const { sequence, generation } = layerContext("route by Lory", states, 0, context);
    if (generation !== null) return this.#generating(states, generation);
    const tokens = segmentSizes(states.shape[0], sequence);
    return merging(states, this.#weightsOf(routingMeans(states, sequence)), tokens);
  }

  #generating<T extends number>(
    states: DeviceTensor<"f32", readonly [T, H]>,
    { lengths, counts, scored, memory }: GenerationContext,
  ): Merging<T, E> {
    requireCounts(lengths, counts, states.shape[0], scored);
    const begins = lengths.map((length) => length === 0);
    if (!begins.includes(true)) return merging(states, this.#kept(counts.length, memory), counts);
    const own = this.#weightsOf(promptMeans(states, counts));
    const weights = begins.includes(false)
      ? chosen(own, this.#kept(counts.length, memory), begins)
      : own;
    memory?.keep(weights);
    return merging(states, weights, counts);
  }

  /** The weights of sequences whose prompts were routed before. */
  #kept(
    sequences: number,
    memory: RouterMemory | undefined,
  ): Tensor<"f32", readonly [number, E]> {
    const kept = memory?.read() ?? null;
    if (kept === null) {
      throw new TypeError(
        "Cannot route new tokens by Lory: generation.memory has no weights from their prompts; " +
          "prefill with the same memory first",
      );
    }
    if (kept.shape[0] !== sequences || kept.shape[1] !== this.experts) {
      throw new ShapeMismatchError(
        `Cannot route new tokens of ${sequences} sequences by Lory: generation.memory holds ` +
          `${showShape(kept.shape)}, expected [${sequences}, ${this.experts}]`,
      );
    }
    return kept as Tensor<"f32", readonly [number, E]>;
  }

  /** softmax(m W) for rows m. */
  #weightsOf(
    means: Tensor<"f32", readonly [number, number]>,
  ): Tensor<"f32", readonly [number, E]> {
    return softmax(matmul(means as Tensor<"f32", readonly [number, H]>, this.#weight));
  }

  /**
   * Gives each token its segment's weights as gates, for inspection: an {@linkcode MoE} layer would
   * mix the experts' results by them rather than merge the experts.
   *
   * @param x Hidden states `[T, H]`, f32 or bf16.
   * @param context Sequence and generation. By default the tokens are one sequence.
   * @returns The weights of every expert for every token.
   * @throws {ShapeMismatchError} If the hidden size does not match.
   */
  route<T extends number, D extends Real = "f32">(
    x: Tensor<D, readonly [T, H]>,
    context: Partial<RoutingContext> = {},
  ): Routing<T, E> {
    return routingOfMerging(this.merge(x, context));
  }

  /**
   * The trainable parameters: the weights.
   *
   * @returns The parameters, always in the same order.
   */
  *parameters(): Iterable<Parameter> {
    yield this.#weight;
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
  }
}

/** The merging as a routing: its weights as gates of each token. */
export function routingOfMerging<T extends number, E extends number>(
  { weights, networkOf }: Merging<T, E>,
): Routing<T, E> {
  const gates = embedding(weights, networkOf);
  const [{ memory, shape }] = operands("show the merging with", gates);
  // Every expert takes part, even where its weight is 0 after rounding.
  return routingOf(gates, { selected: filledTensor(memory, shape, 1) });
}

function merging<T extends number, E extends number>(
  { memory }: DeviceTensor<"f32", readonly [T, number]>,
  weights: Tensor<"f32", readonly [number, E]>,
  tokens: readonly number[],
): Merging<T, E> {
  const networks = tokens.flatMap((count, network) => new Array<number>(count).fill(network));
  const networkOf = writtenTensor(memory, "i32", Int32Array.from(networks), [
    networks.length as T,
  ]);
  return { weights, networkOf, tokens };
}

/** Tokens of each segment, sequence by sequence. */
function segmentSizes(tokens: number, sequence: number): number[] {
  const [length, count] = [segmentLength(sequence), segmentCount(sequence)];
  return Array.from({ length: tokens / sequence }, () =>
    Array.from(
      { length: count },
      (_, segment) => Math.min(length, sequence - segment * length),
    )).flat();
}

/** Rows of `own` where a sequence begins, of `kept` elsewhere. */
function chosen<E extends number>(
  own: Tensor<"f32", readonly [number, E]>,
  kept: Tensor<"f32", readonly [number, E]>,
  begins: readonly boolean[],
): Tensor<"f32", readonly [number, E]> {
  const both = concatenate([own, kept as Tensor<"f32">], { axis: 0 });
  const [{ memory }] = operands("route by Lory with", both as Tensor<"f32">);
  const rows = Int32Array.from(begins, (begin, i) => begin ? i : begins.length + i);
  const places = writtenTensor(memory, "i32", rows, [begins.length] as const);
  return embedding(both as Tensor<"f32", readonly [number, E]>, places);
}

/** Throws unless the counts are those of the tokens, and a continued sequence gets one. */
function requireCounts(
  lengths: readonly number[],
  counts: readonly number[],
  tokens: number,
  scored: boolean,
): void {
  if (!Array.isArray(lengths) || !Array.isArray(counts)) {
    const [name, given] = Array.isArray(lengths) ? ["counts", counts] : ["lengths", lengths];
    throw new TypeError(
      `Cannot route by Lory: generation.${name} is ${shown(given)}, expected one per sequence`,
    );
  }
  let total = 0;
  for (const [i, count] of counts.entries()) {
    requireWhole("route by Lory", `generation.counts[${i}]`, count, { least: 1, most: tokens });
    total += count;
  }
  if (total !== tokens || lengths.length !== counts.length) {
    throw new ShapeMismatchError(
      `Cannot route ${tokens} tokens by Lory: generation has ${lengths.length} lengths and ` +
        `${counts.length} counts of ${total} tokens in all, expected one of each per sequence`,
    );
  }
  for (const [i, length] of lengths.entries()) {
    requireWhole("route by Lory", `generation.lengths[${i}]`, length);
    if (counts[i] === 1 || (length === 0 && !scored)) continue;
    throw new ConfigError(
      length === 0
        ? "Cannot score the tokens of a prompt by Lory, whose experts are merged by the mean of " +
          "all of them, also those to predict: model.score() merges them by segments, as training"
        : `Cannot add ${counts[i]} tokens to a sequence of ${length} by Lory, whose experts are ` +
          `merged by the mean of the prompt: give the whole prompt at once, then single tokens`,
    );
  }
}
