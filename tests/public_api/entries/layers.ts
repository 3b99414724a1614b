/** Layers with known weights, against the float64 model. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { rmsNorm } from "../../../kernels/cases/reference/rms_norm.ts";
import { attend, denseFeedForward } from "../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, HostTensor } from "../entry.ts";
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

/** Names and shapes of a layer's parameters; the layer is freed. */
export function describe(layer: Layer): Record<string, number[]> {
  using _layer = layer;
  return Object.fromEntries([...layer.parameters()].map(({ name, shape }) => [name, [...shape]]));
}

/** Refuses invalid sizes. */
export function demandSizes(options: unknown, ...names: string[]): void {
  demand(typeof options === "object" && options !== null, "options");
  for (const name of names) {
    const size = (options as Record<string, unknown>)[name];
    demand(Number.isInteger(size) && size as number > 0 && size as number < 2 ** 24, name);
  }
}

/** Refuses an option, if present, that is not a finite number of at least 0. */
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
  /** Options without a default, besides the sizes. */
  readonly needs?: readonly string[];
  // deno-lint-ignore no-explicit-any
  readonly shapes: (options: any) => Record<string, readonly number[]>;
}

/** A constructor, with all its options and with only the required ones. */
export function built(given: Build): readonly Entry[] {
  const { variant, options, sizes, needs = [] } = given;
  const needed = (w: World) =>
    Object.fromEntries(
      Object.entries(options(w)).filter(([key]) => sizes.includes(key) || needs.includes(key)),
    );
  const short = { ...given, options: needed, variant: `${variant ?? ""} by default`.trim() };
  return [entryOf(given), entryOf(short)];
}

/** Options of a forward pass; undefined: the default ones. */
export function demandForward(options: unknown): void {
  if (options === undefined) return;
  demand(typeof options === "object" && options !== null && !Array.isArray(options), "options");
  const { training, step, onRouting } = options as remoe.ForwardOptions;
  demand(training === undefined || typeof training === "boolean", "training");
  const isStep = step === undefined || step === Infinity ||
    (Number.isSafeInteger(step) && step >= 0);
  demand(isStep, "step");
  demand(onRouting === undefined || typeof onRouting === "function", "onRouting");
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

/** Refuses anything but a matrix with the given number of columns. */
export function demandRows(
  x: unknown,
  columns: number,
  dtypes: readonly DType[] = ["f32"],
): asserts x is HostTensor {
  demandTensor(x, dtypes);
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
    of: "Embedding.table",
    make: (w) => [w.layer(new remoe.Embedding(w.device, { vocabulary: 5, hidden: 2 }))],
    call: (layer) => layer.table,
    right: () => f32([5, 2], weights([5, 2])),
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
      demandTensor(x, ["f32", "bf16"]);
      demand(x.shape.at(-1) === 4, "shape");
      const y = rmsNorm(Float64Array.from(x.data), Float64Array.from(weights([4])), 1e-5);
      return new HostTensor(x.dtype, x.shape, [...y]);
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
      const sizes = { ...SIZES, ropeBase: 10000, normEpsilon: 1e-5, sequence };
      return f32(x.shape, attend(Float64Array.from(x.data), Object.fromEntries(named), "x", sizes));
    },
    object: true,
  },
];

/** Layers. */
export const layers: readonly Entry[] = [...constructors, ...forwards];
