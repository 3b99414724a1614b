/** Language models with known weights, against the float64 model. @module */

import * as remoe from "@remoe/remoe";
import {
  denseFeedForward,
  languageModel,
  languageModelLogits,
} from "../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, HostTensor } from "../entry.ts";
import type { World } from "../world.ts";
import { BASES, blockEntries, blockShapes, demandCache, demandSequence } from "./blocks.ts";
import { EXTRAS, half } from "./blocks.ts";
import { halfShapes, HIDDEN, SIZES, type Weighed, WIDTH } from "./blocks.ts";
import { built, demandForward, demandPositive, demandSizes, weightsOf } from "./layers.ts";

const constructors: readonly Entry[] = [
  ...built({
    of: "LanguageModel",
    options: (w) => ({
      ...{ ...SIZES, ...BASES, ...EXTRAS, layers: 2, deviation: 0.1, tied: true },
      feedForward: (layer: number) => half(w, `model.layers.${layer}`),
    }),
    build: (device, options) => new remoe.LanguageModel(device, options),
    needs: ["feedForward"],
    sizes: ["vocabulary", "layers", "hidden", "heads"],
    shapes: ({ feedForward, vocabulary, layers, tied = false, ...options }) => {
      demand(typeof tied === "boolean", "tied");
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
        ...(tied ? {} : { "lm_head.weight": [options.hidden, vocabulary] }),
      };
    },
  }),
];

function model(w: World): remoe.LanguageModel {
  const feedForward = () => half(w);
  return w.layer(new remoe.LanguageModel(w.device, { ...SIZES, ...BASES, feedForward }));
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
    of: "LanguageModel.dtype",
    make: (w) => [model(w)],
    call: (layer) => layer.dtype,
    right: () => "f32",
    object: true,
  },
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
    of: "LanguageModel.logits",
    variant: "with options",
    make: (w) => [
      model(w),
      w.i32([1, 5, 0, 2]),
      2,
      { training: true, step: 3, onRouting: () => {} },
    ],
    call: (layer, tokens, sequence, options) => layer.logits(tokens, sequence, options),
    right: (layer, tokens, sequence, options) => {
      demandTokens(tokens);
      demandSequence(tokens, sequence);
      demandForward(options);
      const count = tokens.data.length;
      return f32([count, SIZES.vocabulary], logitsOf(layer, tokens.data, sequence));
    },
    object: true,
  },
  {
    of: "LanguageModel.score",
    make: (w) => [model(w), w.i32([1, 5, 0, 2]), w.i32([5, 0, -1, 4]), 2],
    call: (layer, tokens, targets, sequence) => {
      const scores = layer.score(tokens, targets, sequence);
      return [scores.logProbability, scores.greedy, scores.greedyLogProbability];
    },
    right: (layer, tokens, targets, sequence) => {
      demandTokens(tokens);
      demandTensor(targets, ["i32"]);
      demand(tokens.shape.join() === targets.shape.join() && targets.shape.length === 1, "shapes");
      demand(targets.data.every((target) => target < SIZES.vocabulary), "targets");
      demandSequence(tokens, sequence);
      return scoresOf(scored(logitsOf(layer, tokens.data, sequence), targets.data));
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
  {
    of: "LanguageModel.extend",
    make: (w) => {
      const layer = model(w);
      const cache = w.using(layer.openCache(BATCH + 1, CAPACITY));
      layer.extend([[1, 5]], cache, [2]);
      return [layer, [[4], [3, 0]], cache, [0, 2]];
    },
    call: (layer, sequences, cache, rows) => layer.extend(sequences, cache, rows),
    right: (layer, sequences, cache, rows) => {
      const wholes = demandExtension(sequences, cache, rows);
      return lastLogits(layer, wholes.map(({ whole }) => whole));
    },
    object: true,
  },
  {
    of: "LanguageModel.scoreExtension",
    make: (w) => {
      const layer = model(w);
      const cache = w.using(layer.openCache(BATCH + 1, CAPACITY));
      layer.extend([[1, 5]], cache, [2]);
      return [layer, [[4], [3, 0]], [[2], [-1, 4]], cache, [0, 2]];
    },
    call: (layer, sequences, targets, cache, rows) => {
      const scores = layer.scoreExtension(sequences, targets, cache, rows);
      return [scores.logProbability, scores.greedy, scores.greedyLogProbability];
    },
    right: (layer, sequences, targets, cache, rows) => {
      const wholes = demandExtension(sequences, cache, rows);
      demand(Array.isArray(targets) && targets.length === wholes.length, "targets");
      return scoresOf(wholes.flatMap(({ whole, count }, i) => {
        const of = targets[i];
        demand(Array.isArray(of) && of.length === count, "a target for each");
        const isTarget = (id: unknown) => Number.isInteger(id) && id as number < SIZES.vocabulary;
        demand(Array.from(of).every(isTarget), "target");
        const logits = logitsOf(layer, whole, whole.length).slice(-count * SIZES.vocabulary);
        return scored(logits, of);
      }));
    },
    object: true,
  },
];

/** Row 2 of the cache holds two tokens. */
function demandExtension(sequences: unknown, cache: unknown, rows: unknown = [0, 1, 2]) {
  demandCache(cache);
  const isRow = (row: unknown) => Number.isInteger(row) && row as number >= 0 && row as number < 3;
  demand(Array.isArray(rows) && rows.length > 0 && Array.from(rows).every(isRow), "rows");
  demand(new Set(rows).size === rows.length, "different rows");
  demand(Array.isArray(sequences) && sequences.length === rows.length, "sequences");
  return Array.from(sequences, (tokens: unknown, i) => {
    demandIds(tokens);
    const whole = rows[i] === 2 ? [1, 5, ...tokens] : [...tokens];
    demand(tokens.length > 0 && whole.length <= CAPACITY, "length");
    return { whole, count: tokens.length };
  });
}

/** Log-probability, greedy token and its log-probability of each row of logits. */
function scored(logits: readonly number[], targets: readonly number[]): number[][] {
  return targets.map((target, t) => {
    if (target < 0) return [NaN, -1, NaN];
    const row = logits.slice(t * SIZES.vocabulary, (t + 1) * SIZES.vocabulary);
    const largest = Math.max(...row);
    const total = Math.log(row.reduce((sum, z) => sum + Math.exp(z - largest), 0));
    return [row[target]! - largest - total, row.indexOf(largest), -total];
  });
}

function scoresOf(rows: readonly (readonly number[])[]): HostTensor[] {
  const column = (i: number) => rows.map((row) => row[i]!);
  const places = new HostTensor("i32", [rows.length], column(1));
  return [f32([rows.length], column(0)), places, f32([rows.length], column(2))];
}

/** Attention to language models. */
export const modelEntries: readonly Entry[] = [
  ...blockEntries,
  ...constructors,
  ...models,
  ...generations,
];
