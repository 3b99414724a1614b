/** Blocks and language models with known weights, against the float64 model. @module */

import * as remoe from "@remoe/remoe";
import {
  block,
  denseFeedForward,
  languageModel,
  languageModelLogits,
} from "../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../entry.ts";
import type { World } from "../world.ts";
import { built, demandPositive, demandRows, demandSizes, weightsOf } from "./layers.ts";

const HIDDEN = 8;
const WIDTH = 6;
const SIZES = { vocabulary: 6, layers: 1, hidden: HIDDEN, heads: 2, groups: 1 };
const BASES = { ropeBase: 10000, normEpsilon: 1e-5 };
const PREFIX = "model.layers.0";

type Options = Record<string, number> & { readonly name?: string };

/** Names and shapes of a block without its second half. */
function blockShapes({ hidden, heads, groups = heads }: Options, name: string) {
  return {
    [`${name}.input_layernorm.weight`]: [hidden!],
    ...attentionShapes({ hidden: hidden!, heads: heads!, groups: groups! }, `${name}.self_attn`),
    [`${name}.post_attention_layernorm.weight`]: [hidden!],
  };
}

function attentionShapes(options: Options, name: string): Record<string, number[]> {
  const { hidden = 0, heads = 0, groups = heads, ropeBase = 1e6 } = options;
  demandSizes({ groups }, "groups");
  demand(hidden % (2 * heads) === 0 && heads % groups === 0, "heads");
  demand(Number.isFinite(Math.fround(ropeBase)) && ropeBase > 0, "base");
  const headDim = hidden / heads;
  return {
    [`${name}.qkv_proj.weight`]: [hidden, (heads + 2 * groups) * headDim],
    [`${name}.o_proj.weight`]: [hidden, hidden],
  };
}

function halfShapes(name: string): Record<string, number[]> {
  return {
    [`${name}.mlp.gate_up_proj.weight`]: [HIDDEN, 2 * WIDTH],
    [`${name}.mlp.down_proj.weight`]: [WIDTH, HIDDEN],
  };
}

/** A block's second half. */
function half({ device }: World, name = PREFIX): remoe.FeedForward {
  return new remoe.FeedForward(device, { hidden: HIDDEN, width: WIDTH, name: `${name}.mlp` });
}

/** A second half of a user's own, which doubles. */
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
    variant: "with a second half of one's own",
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
  ...built({
    of: "LanguageModel",
    options: (w) => ({
      ...{ ...SIZES, ...BASES, layers: 2, deviation: 0.1 },
      feedForward: (layer: number) => half(w, `model.layers.${layer}`),
    }),
    build: (device, options) => new remoe.LanguageModel(device, options),
    needs: ["feedForward"],
    sizes: ["vocabulary", "layers", "hidden", "heads"],
    shapes: ({ feedForward, vocabulary, layers, ...options }) => {
      demand(typeof feedForward === "function", "second half");
      demandPositive(options, "normEpsilon");
      const names = Array.from({ length: layers }, (_, layer) => `model.layers.${layer}`);
      return {
        "model.embed_tokens.weight": [vocabulary, options.hidden],
        ...Object.assign(
          {},
          ...names.map((n) => ({ ...blockShapes(options, n), ...halfShapes(n) })),
        ),
        "model.norm.weight": [options.hidden],
        "lm_head.weight": [options.hidden, vocabulary],
      };
    },
  }),
];

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
      return [...blockArguments(w), { cache, layer: 1, isPrefill: true }];
    },
    call: (layer, x, sequence, cached) => layer.forward(x, sequence, cached),
    right: (layer, x, sequence, cached) => {
      const y = rightOfBlock(layer, x, sequence);
      if (cached === undefined) return y;
      demand(typeof cached === "object" && cached !== null, "cached");
      demandCache(cached.cache);
      demand([0, 1].includes(cached.layer) && cached.isPrefill === true, "layer, isPrefill");
      demand(sequence <= 4 && y.shape[0] === 2 * sequence, "room");
      return y;
    },
    object: true,
  },
];

function model(w: World): remoe.LanguageModel {
  const feedForward = () => half(w);
  return w.layer(new remoe.LanguageModel(w.device, { ...SIZES, ...BASES, feedForward }));
}

function demandSequence({ shape }: HostTensor, sequence: unknown): asserts sequence is number {
  demand(Number.isInteger(sequence) && sequence as number > 0, "sequence");
  demand(shape[0]! % (sequence as number) === 0, "whole sequences");
}

function demandTokens(tokens: unknown): asserts tokens is HostTensor {
  demandTensor(tokens, ["i32"]);
  demand(tokens.shape.length === 1, "axes");
  demandIds(tokens.data);
}

function demandIds(ids: unknown): asserts ids is readonly number[] {
  const isId = (id: unknown) =>
    Number.isInteger(id) && id as number >= 0 && id as number < SIZES.vocabulary;
  demand(Array.isArray(ids) && Array.from(ids).every(isId), "tokens");
}

function lossOf(layer: Weighed, tokens: readonly number[], targets: readonly number[], s: number) {
  const [ids, next] = [Int32Array.from(tokens), Int32Array.from(targets)];
  const sizes = { ...SIZES, ...BASES, sequence: s };
  return languageModel(weightsOf(layer), ids, next, sizes, denseFeedForward(HIDDEN, WIDTH)).loss;
}

type Weighed = Parameters<typeof weightsOf>[0];

/** Logits after each token of sequences of equal lengths. */
function logitsOf(layer: Weighed, tokens: readonly number[], sequence: number): number[] {
  const sizes = { ...SIZES, ...BASES, sequence };
  const ids = Int32Array.from(tokens);
  return [...languageModelLogits(weightsOf(layer), ids, sizes, denseFeedForward(HIDDEN, WIDTH))];
}

/** Logits after the last token of each sequence. */
function lastLogits(layer: Weighed, sequences: readonly (readonly number[])[]): HostTensor {
  const rows = sequences.map((tokens) =>
    logitsOf(layer, tokens, tokens.length).slice(-SIZES.vocabulary)
  );
  return f32([sequences.length, SIZES.vocabulary], rows.flat());
}

const models: readonly Entry[] = [
  {
    of: "LanguageModel.loss",
    make: (w) => [model(w), w.i32([1, 5, 0, 2]), w.i32([5, 0, 2, 4]), 2],
    call: (layer, tokens, targets, sequence) => layer.loss(tokens, targets, sequence).loss,
    right: (layer, tokens, targets, sequence) => {
      demandTokens(tokens);
      demandTensor(targets, ["i32"]);
      demand(tokens.shape.join() === targets.shape.join() && targets.shape.length === 1, "shapes");
      demand(targets.data.every((target) => target < SIZES.vocabulary), "targets");
      demandSequence(tokens, sequence);
      const isAny = targets.data.some((target) => target >= 0);
      return f32([], [isAny ? lossOf(layer, tokens.data, targets.data, sequence) : 0]);
    },
    object: true,
  },
  {
    of: "LanguageModel.logits",
    make: (w) => [model(w), w.i32([1, 5, 0, 2]), 2],
    call: (layer, tokens, sequence) => layer.logits(tokens, sequence),
    right: (layer, tokens, sequence) => {
      demandTokens(tokens);
      demandSequence(tokens, sequence);
      const count = tokens.data.length;
      return f32([count, SIZES.vocabulary], logitsOf(layer, tokens.data, sequence));
    },
    object: true,
  },
  {
    of: "LanguageModel.nextLogits",
    make: (w) => [model(w), w.i32([1, 5, 0])],
    call: (layer, tokens) => layer.nextLogits(tokens),
    right: (layer, tokens) => {
      demandTokens(tokens);
      return lastLogits(layer, [tokens.data]);
    },
    object: true,
  },
];

const BATCH = 2;
const CAPACITY = 4;

function demandCache(cache: unknown): void {
  demand(cache instanceof remoe.KeyValueCache, "cache");
}

const generations: readonly Entry[] = [
  {
    of: "LanguageModel.openCache",
    make: (w) => [model(w), BATCH, CAPACITY],
    call: (layer, batch, capacity) => {
      using cache: remoe.KeyValueCache = layer.openCache(batch, capacity);
      return [cache.batch, cache.capacity, ...cache.lengths];
    },
    right: (_, batch, capacity) => {
      demandSizes({ batch, capacity }, "batch", "capacity");
      return [batch, capacity, ...Array<number>(batch).fill(0)];
    },
    object: true,
  },
  {
    of: "LanguageModel.prefill",
    make: (w) => {
      const layer = model(w);
      return [layer, [[1, 5, 2], [4]], w.using(layer.openCache(BATCH, CAPACITY))];
    },
    call: (layer, sequences, cache) => layer.prefill(sequences, cache),
    right: (layer, sequences, cache) => {
      demandCache(cache);
      demand(Array.isArray(sequences) && sequences.length === BATCH, "sequences");
      for (const tokens of sequences) {
        demandIds(tokens);
        demand(tokens.length > 0 && tokens.length <= CAPACITY, "length");
      }
      return lastLogits(layer, sequences);
    },
    object: true,
  },
  {
    of: "LanguageModel.decode",
    make: (w) => {
      const layer = model(w);
      const cache = w.using(layer.openCache(BATCH, CAPACITY));
      layer.prefill([[1, 5, 2], [4]], cache);
      return [layer, [3, 0], cache];
    },
    call: (layer, tokens, cache) => layer.decode(tokens, cache),
    right: (layer, tokens, cache) => {
      demandCache(cache);
      demandIds(tokens);
      demand(tokens.length === BATCH, "tokens");
      return lastLogits(layer, [[1, 5, 2, tokens[0]!], [4, tokens[1]!]]);
    },
    object: true,
  },
];

/** Attention to language models. */
export const modelEntries: readonly Entry[] = [
  ...constructors,
  ...blocks,
  ...models,
  ...generations,
];
