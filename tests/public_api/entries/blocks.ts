/** Attention and blocks with known weights, against the float64 model. @module */

import * as remoe from "@remoe/remoe";
import { block, denseFeedForward } from "../../nn/language_model_reference.ts";
import { demand, type Entry, f32, type HostTensor } from "../entry.ts";
import type { World } from "../world.ts";
import { built, demandPositive, demandRows, demandSizes, weightsOf } from "./layers.ts";

/** Sizes of the tested blocks and models. */
export const HIDDEN = 8;
/** Width of a second half. */
export const WIDTH = 6;
/** Sizes of a one-block model. */
export const SIZES = { vocabulary: 6, layers: 1, hidden: HIDDEN, heads: 2, groups: 1 };
/** Its constants. */
export const BASES = { ropeBase: 10000, normEpsilon: 1e-5 };
const PREFIX = "model.layers.0";

/** What attention may have besides LLaMA's. */
export const EXTRAS = { headDim: 6, qkvBias: true, qkNorm: "full", clipQkv: 2 };

type Options = Record<string, number> & {
  readonly name?: string;
  readonly qkNorm?: string;
  readonly qkvBias?: boolean;
};

/** Names and shapes of a block without its second half. */
export function blockShapes(options: Options, name: string): Record<string, number[]> {
  const hidden = options["hidden"]!;
  return {
    [`${name}.input_layernorm.weight`]: [hidden],
    ...attentionShapes(options, `${name}.self_attn`),
    [`${name}.post_attention_layernorm.weight`]: [hidden],
  };
}

function attentionShapes(options: Options, name: string): Record<string, number[]> {
  const { hidden = 0, heads = 0, groups = heads, ropeBase = 1e6, clipQkv = 1 } = options;
  const { headDim = hidden / heads, qkvBias = false, qkNorm = "none" } = options;
  demandSizes({ groups, headDim }, "groups", "headDim");
  demand(headDim % 2 === 0 && heads % groups === 0, "heads");
  demandPositive(options, "normEpsilon");
  for (const value of [ropeBase, clipQkv]) {
    demand(Number.isFinite(Math.fround(value)) && Math.fround(value) > 0, "base or limit");
  }
  demand(typeof qkvBias === "boolean", "bias");
  const columns = (heads + 2 * groups) * headDim;
  const widths: Record<string, number[]> = {
    ...{ none: [], full: [heads * headDim, groups * headDim], head: [headDim, headDim] },
  };
  demand(Object.hasOwn(widths, qkNorm), "norm");
  const [query, key] = widths[qkNorm]!;
  return {
    [`${name}.qkv_proj.weight`]: [hidden, columns],
    ...(qkvBias ? { [`${name}.qkv_proj.bias`]: [columns] } : {}),
    ...(query ? { [`${name}.q_norm.weight`]: [query], [`${name}.k_norm.weight`]: [key!] } : {}),
    [`${name}.o_proj.weight`]: [heads * headDim, hidden],
  };
}

/** Names and shapes of a second half. */
export function halfShapes(name: string): Record<string, number[]> {
  return {
    [`${name}.mlp.gate_up_proj.weight`]: [HIDDEN, 2 * WIDTH],
    [`${name}.mlp.down_proj.weight`]: [WIDTH, HIDDEN],
  };
}

/** A block's second half. */
export function half({ device }: World, name = PREFIX): remoe.FeedForward {
  return new remoe.FeedForward(device, { hidden: HIDDEN, width: WIDTH, name: `${name}.mlp` });
}

/** A user-defined second half, which doubles its input. */
function doubling(): Record<string, unknown> {
  return {
    forward: (x: remoe.Tensor<"f32">) => remoe.scale(x, 2),
    parameters: () => [],
    [Symbol.dispose]: () => {},
  };
}

function demandHalf(layer: unknown): void {
  demand(typeof layer === "object" && layer !== null, "second half");
  const { forward, parameters } = layer as Record<string, unknown>;
  demand(typeof forward === "function" && typeof parameters === "function", "second half");
}

const constructors: readonly Entry[] = [
  ...built({
    of: "Attention",
    options: () => ({
      hidden: 8,
      heads: 2,
      groups: 1,
      ropeBase: 1e4,
      deviation: 0.1,
      outputDeviation: 0.2,
      normEpsilon: 1e-5,
      ...EXTRAS,
      name: "a",
    }),
    build: (device, options) => new remoe.Attention(device, options),
    sizes: ["hidden", "heads"],
    shapes: ({ name = "self_attn", ...options }) => attentionShapes(options, name),
  }),
  ...built({
    of: "TransformerBlock",
    options: (w) => ({
      ...{ hidden: HIDDEN, heads: 2, groups: 1, ...BASES, deviation: 0.1, outputDeviation: 0.2 },
      ...EXTRAS,
      feedForward: w.using(half(w)),
      name: "b",
    }),
    build: (device, options) => new remoe.TransformerBlock(device, options),
    sizes: ["hidden", "heads"],
    needs: ["feedForward"],
    shapes: ({ name = "layer", feedForward, ...options }) => {
      demandHalf(feedForward);
      demandPositive(options, "normEpsilon");
      return { ...blockShapes(options, name), ...halfShapes(PREFIX) };
    },
  }),
  ...built({
    variant: "with a user-defined feed-forward layer",
    of: "TransformerBlock",
    options: () => ({ hidden: HIDDEN, heads: 2, feedForward: doubling() }),
    build: (device, options) => new remoe.TransformerBlock(device, options),
    sizes: ["hidden", "heads"],
    needs: ["feedForward"],
    shapes: ({ feedForward, ...options }) => {
      demandHalf(feedForward);
      return blockShapes(options, "layer");
    },
  }),
];

/** Anything with named weights. */
export type Weighed = Parameters<typeof weightsOf>[0];

/** Refuses a length that does not divide the rows. */
export function demandSequence(
  { shape }: HostTensor,
  sequence: unknown,
): asserts sequence is number {
  demand(Number.isInteger(sequence) && sequence as number > 0, "sequence");
  demand(shape[0]! % (sequence as number) === 0, "whole sequences");
}

/** Refuses anything but a cache. */
export function demandCache(cache: unknown): void {
  demand(cache instanceof remoe.KeyValueCache, "cache");
}

/** A block and two sequences of three states. */
function blockArguments(w: World) {
  const options = { hidden: HIDDEN, heads: 2, groups: 1, ...BASES, name: PREFIX };
  const layer = new remoe.TransformerBlock(w.device, { ...options, feedForward: half(w) });
  return [w.layer(layer), w.f32([6, HIDDEN]), 3];
}

function rightOfBlock(layer: Weighed, x: unknown, sequence: unknown): HostTensor {
  demandRows(x, HIDDEN);
  demandSequence(x, sequence);
  const sizes = { ...SIZES, ...BASES, sequence };
  const given = Float64Array.from(x.data);
  const { y } = block(given, weightsOf(layer), PREFIX, sizes, denseFeedForward(HIDDEN, WIDTH));
  return f32(x.shape, y);
}

const blocks: readonly Entry[] = [
  {
    of: "TransformerBlock.forward",
    make: blockArguments,
    call: (layer, x, sequence) => layer.forward(x, sequence),
    right: rightOfBlock,
    object: true,
  },
  {
    of: "TransformerBlock.forward",
    variant: "into a cache",
    make: (w) => {
      const sizes = { layers: 2, groups: 1, headDim: HIDDEN / 2, batch: 2, capacity: 4 };
      const cache = w.using(new remoe.KeyValueCache(w.device, sizes));
      return [...blockArguments(w), { cache, layer: 1 }];
    },
    call: (layer, x, sequence, cached) => layer.forward(x, sequence, cached),
    right: (layer, x, sequence, cached) => {
      const y = rightOfBlock(layer, x, sequence);
      if (cached === undefined) return y;
      demand(typeof cached === "object" && cached !== null, "cached");
      demandCache(cached.cache);
      demand([0, 1].includes(cached.layer), "layer");
      demand(sequence <= 4 && y.shape[0] === 2 * sequence, "room");
      return y;
    },
    object: true,
  },
];

/** Attention and blocks. */
export const blockEntries: readonly Entry[] = [...constructors, ...blocks];
