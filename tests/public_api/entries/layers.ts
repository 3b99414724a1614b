/** Layers with known weights, against the float64 model. @module */

import * as remoe from "@remoe/remoe";
import { rmsNorm } from "../../cases/reference/rms_norm.ts";
import { attend, denseFeedForward } from "../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../entry.ts";
import { weights, type World } from "../world.ts";
import { product } from "./products.ts";

const HIDDEN = 8;
const SIZES = { hidden: HIDDEN, heads: 2, groups: 1 };

interface Layer extends Disposable {
  parameters(): Iterable<remoe.Tensor & { readonly name: string }>;
}

/** A layer's parameters by name, as `World.layer` fills them. */
export function weightsOf(layer: Layer): Record<string, Float64Array> {
  return Object.fromEntries(
    [...layer.parameters()].map(({ name, shape }) => [name, Float64Array.from(weights(shape))]),
  );
}

/** Names and shapes of what a layer trains; the layer is freed. */
export function describe(layer: Layer): Record<string, number[]> {
  using _layer = layer;
  return Object.fromEntries([...layer.parameters()].map(({ name, shape }) => [name, [...shape]]));
}

/** Refuses sizes that are none. */
export function demandSizes(options: unknown, ...names: string[]): void {
  demand(typeof options === "object" && options !== null, "options");
  for (const name of names) {
    const size = (options as Record<string, unknown>)[name];
    demand(Number.isInteger(size) && size as number > 0 && size as number < 2 ** 24, name);
  }
}

/** Refuses an option that is no finite number of 0 or more, if it is there. */
export function demandPositive(options: Record<string, unknown>, ...names: string[]): void {
  for (const name of names) {
    const value = options[name];
    demand(value === undefined || (Number.isFinite(value) && value as number >= 0), name);
  }
}

interface Build {
  readonly of: string;
  readonly variant?: string;
  readonly options: (world: World) => Record<string, unknown>;
  // deno-lint-ignore no-explicit-any
  readonly build: (device: any, options: any) => Layer;
  readonly sizes: readonly string[];
  /** Options that have no default, besides the sizes. */
  readonly needs?: readonly string[];
  // deno-lint-ignore no-explicit-any
  readonly shapes: (options: any) => Record<string, readonly number[]>;
}

/** A constructor, with all its options and with those alone that it needs. */
export function built(given: Build): readonly Entry[] {
  const { variant, options, sizes, needs = [] } = given;
  const needed = (w: World) =>
    Object.fromEntries(
      Object.entries(options(w)).filter(([key]) => sizes.includes(key) || needs.includes(key)),
    );
  const short = { ...given, options: needed, variant: `${variant ?? ""} by default`.trim() };
  return [entryOf(given), entryOf(short)];
}

/** A constructor: its parameters have these names and shapes. */
function entryOf({ of, variant, options, build, sizes, shapes }: Build): Entry {
  return {
    of: `new ${of}`,
    ...(variant === undefined ? {} : { variant }),
    make: (w) => [w.device, options(w)],
    call: (device, options) => describe(build(device, options)),
    right: (device, options) => {
      demand(device instanceof remoe.Device, "no device");
      demandSizes(options, ...sizes);
      demandPositive(options, "deviation", "outputDeviation");
      demand(options.name === undefined || typeof options.name === "string", "name");
      return shapes(options);
    },
  };
}

/** Refuses what is no matrix of so many columns. */
export function demandRows(x: unknown, columns: number): asserts x is HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === columns, "shape");
}

const constructors: readonly Entry[] = [
  ...built({
    of: "Linear",
    options: () => ({ input: 4, output: 3, deviation: 0.1, name: "w" }),
    build: (device, options) => new remoe.Linear(device, options),
    sizes: ["input", "output"],
    shapes: ({ input, output, name = "weight" }) => ({ [name]: [input, output] }),
  }),
  ...built({
    of: "Embedding",
    options: () => ({ vocabulary: 5, hidden: 3, deviation: 0.1, name: "w" }),
    build: (device, options) => new remoe.Embedding(device, options),
    sizes: ["vocabulary", "hidden"],
    shapes: ({ vocabulary, hidden, name = "embed_tokens.weight" }) => ({
      [name]: [vocabulary, hidden],
    }),
  }),
  ...built({
    of: "FeedForward",
    options: () => ({ hidden: 4, width: 6, deviation: 0.1, outputDeviation: 0.2, name: "mlp" }),
    build: (device, options) => new remoe.FeedForward(device, options),
    sizes: ["hidden"],
    shapes: ({ hidden, width = 4 * hidden, name = "mlp" }) => {
      demand(Number.isInteger(width) && width > 0 && width < 2 ** 24, "width");
      return {
        [`${name}.gate_up_proj.weight`]: [hidden, 2 * width],
        [`${name}.down_proj.weight`]: [width, hidden],
      };
    },
  }),
  ...built({
    of: "RmsNorm",
    options: () => ({ hidden: 4, epsilon: 1e-5, name: "w" }),
    build: (device, options) => new remoe.RmsNorm(device, options),
    sizes: ["hidden"],
    shapes: ({ hidden, epsilon = 0, name = "weight" }) => {
      demandPositive({ epsilon }, "epsilon");
      return { [name]: [hidden] };
    },
  }),
];

const forwards: readonly Entry[] = [
  {
    of: "Linear.forward",
    make: (w) => [w.layer(new remoe.Linear(w.device, { input: 4, output: 3 })), w.f32([2, 4])],
    call: (layer, x) => layer.forward(x),
    right: (_, x) => {
      demandTensor(x);
      return product(x, f32([4, 3], weights([4, 3])));
    },
    object: true,
  },
  {
    of: "Linear.weight",
    make: (w) => [w.layer(new remoe.Linear(w.device, { input: 4, output: 3 }))],
    call: (layer) => layer.weight,
    right: () => f32([4, 3], weights([4, 3])),
    object: true,
  },
  {
    of: "Embedding.forward",
    make: (
      w,
    ) => [w.layer(new remoe.Embedding(w.device, { vocabulary: 5, hidden: 2 })), w.i32([4, 0])],
    call: (layer, tokens) => layer.forward(tokens),
    right: (_, tokens) => {
      demandTensor(tokens, ["i32"]);
      demand(tokens.shape.length === 1, "axes");
      demand(tokens.data.every((token) => token >= 0 && token < 5), "tokens");
      const table = weights([5, 2]);
      const data = tokens.data.flatMap((token) => table.slice(2 * token, 2 * token + 2));
      return f32([tokens.data.length, 2], data);
    },
    object: true,
  },
  {
    of: "RmsNorm.forward",
    make: (w) => [w.layer(new remoe.RmsNorm(w.device, { hidden: 4 })), w.f32([3, 4])],
    call: (layer, x) => layer.forward(x),
    right: (_, x) => {
      demandTensor(x);
      demand(x.shape.at(-1) === 4, "shape");
      return f32(
        x.shape,
        rmsNorm(Float64Array.from(x.data), Float64Array.from(weights([4])), 1e-5),
      );
    },
    object: true,
  },
  {
    of: "FeedForward.forward",
    make: (w) => [w.layer(new remoe.FeedForward(w.device, { hidden: 4, width: 6 })), w.f32([3, 4])],
    call: (layer, x) => layer.forward(x),
    right: (layer, x) => {
      demandTensor(x);
      demandRows(x, 4);
      const reference = denseFeedForward(4, 6);
      const named = Object.entries(weightsOf(layer)).map(([k, v]) => [`x.${k}`, v] as const);
      return f32(x.shape, reference(Float64Array.from(x.data), Object.fromEntries(named), "x").y);
    },
    object: true,
  },
  {
    of: "Attention.forward",
    make: (w) => [
      w.layer(new remoe.Attention(w.device, { ...SIZES, ropeBase: 10000 })),
      w.f32([6, HIDDEN]),
      3,
    ],
    call: (layer, x, sequence) => layer.forward(x, sequence),
    right: (layer, x, sequence) => {
      demandRows(x, HIDDEN);
      demand(
        Number.isInteger(sequence) && sequence > 0 && x.shape[0]! % sequence === 0,
        "sequence",
      );
      const named = Object.entries(weightsOf(layer)).map(([k, v]) => [`x.${k}`, v] as const);
      const sizes = { ...SIZES, ropeBase: 10000, sequence };
      return f32(x.shape, attend(Float64Array.from(x.data), Object.fromEntries(named), "x", sizes));
    },
    object: true,
  },
];

function cacheOf(w: World): remoe.KeyValueCache {
  const sizes = { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 5 };
  return w.using(new remoe.KeyValueCache(w.device, sizes));
}

function demandLengths(lengths: unknown): asserts lengths is readonly number[] {
  demand(Array.isArray(lengths) && lengths.length === 2, "lengths");
  for (const n of lengths) demand(Number.isInteger(n) && n >= 0 && n <= 5, "length");
}

function demandFill(layer: unknown, qkv: unknown, sequence: unknown): asserts qkv is HostTensor {
  demand(layer === 0, "layer");
  demandTensor(qkv);
  demand(
    Number.isInteger(sequence) && sequence as number > 0 && sequence as number <= 5,
    "sequence",
  );
  demand(qkv.shape.length === 2 && qkv.shape[0] === 2 * (sequence as number), "rows");
  demand(qkv.shape[1]! >= 8, "columns");
}

const caches: readonly Entry[] = [
  {
    of: "new KeyValueCache",
    make: (w) => [w.device, { layers: 1, groups: 1, headDim: 4, batch: 2, capacity: 5 }],
    call: (device, options) => {
      using cache = new remoe.KeyValueCache(device, options);
      return [cache.batch, cache.capacity, ...cache.lengths];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "device");
      demandSizes(options, "layers", "groups", "headDim", "batch", "capacity");
      return [options.batch, options.capacity, ...Array<number>(options.batch).fill(0)];
    },
  },
  {
    of: "KeyValueCache.setLengths",
    make: (w) => [cacheOf(w), [3, 5]],
    call: (cache, lengths) => (cache.setLengths(lengths), cache.lengths),
    right: (_, lengths) => (demandLengths(lengths), lengths),
    object: true,
  },
  {
    of: "KeyValueCache.lengths",
    make: (w) => [cacheOf(w)],
    call: (cache) => cache.lengths,
    right: () => [0, 0],
    object: true,
  },
  {
    of: "KeyValueCache.requireRoom",
    make: (w) => [cacheOf(w)],
    call: (cache) => cache.requireRoom(),
    right: () => undefined,
    object: true,
  },
  {
    of: "KeyValueCache.fill",
    make: (w) => [cacheOf(w), 0, w.f32([6, 12]), 3, w.f32([2, 12], Array(24).fill(1))],
    call: (cache, layer, qkv, sequence, next) => {
      cache.fill(layer, qkv, sequence);
      cache.setLengths([sequence, sequence]);
      return cache.attend(0, next, 1, 1e30).shape;
    },
    right: (_, layer, qkv, sequence, next) => {
      demandFill(layer, qkv, sequence);
      demandTensor(next);
      demand(next.shape.join() === "2,12", "row");
      return [2, 4];
    },
    object: true,
  },
  {
    of: "KeyValueCache.attend",
    make: (w) => [cacheOf(w), 0, w.f32([2, 12]), 1, 10000],
    call: (cache, layer, qkv, heads, base) => cache.attend(layer, qkv, heads, base),
    right: (_, layer, qkv, heads, base) => {
      demand(layer === 0 && heads === 1 && Number.isFinite(base) && base > 0, "sizes");
      demandTensor(qkv);
      demand(qkv.shape.join() === "2,12", "rows");
      // The first token attends to itself alone: its value, whatever turns.
      return f32([2, 4], [...qkv.data.slice(8, 12), ...qkv.data.slice(20, 24)]);
    },
    object: true,
  },
];

/** Layers and caches. */
export const layers: readonly Entry[] = [...constructors, ...forwards, ...caches];
