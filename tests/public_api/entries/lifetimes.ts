/** What layers, routers, states and optimizers are asked for besides their work, and their end. @module */

import * as remoe from "@remoe/remoe";
import type { Entry } from "../entry.ts";
import type { World } from "../world.ts";

const SIZES = { hidden: 4, experts: 3 };

/** Each class: how it is made, what its properties are, and what it trains. */
interface Made {
  // deno-lint-ignore no-explicit-any
  readonly make: (world: World) => any;
  readonly has?: Readonly<Record<string, unknown>>;
  readonly trains?: readonly string[];
}

const BLOCK = [
  "input_layernorm.weight [4]",
  "self_attn.qkv_proj.weight [4,12]",
  "self_attn.o_proj.weight [4,4]",
  "post_attention_layernorm.weight [4]",
];
const HALF = ["m.gate_up_proj.weight [4,6]", "m.down_proj.weight [3,4]"];

const CLASSES: Readonly<Record<string, Made>> = {
  Linear: {
    make: ({ device }) => new remoe.Linear(device, { input: 2, output: 3, name: "w" }),
    trains: ["w [2,3]"],
  },
  Embedding: {
    make: ({ device }) => new remoe.Embedding(device, { vocabulary: 5, hidden: 2, name: "w" }),
    trains: ["w [5,2]"],
  },
  RmsNorm: {
    make: ({ device }) => new remoe.RmsNorm(device, { hidden: 2, name: "w" }),
    trains: ["w [2]"],
  },
  FeedForward: {
    make: ({ device }) => new remoe.FeedForward(device, { hidden: 2, width: 3, name: "m" }),
    trains: ["m.gate_up_proj.weight [2,6]", "m.down_proj.weight [3,2]"],
  },
  Attention: {
    make: ({ device }) =>
      new remoe.Attention(device, { hidden: 4, heads: 2, groups: 1, name: "a" }),
    trains: ["a.qkv_proj.weight [4,8]", "a.o_proj.weight [4,4]"],
  },
  ReluRouter: {
    make: ({ device }) => new remoe.ReluRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
  },
  TopKRouter: {
    make: ({ device }) => new remoe.TopKRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
  },
  DenseRouter: {
    make: ({ device }) => new remoe.DenseRouter(device, SIZES),
    has: { ...SIZES, active: 3 },
    trains: [],
  },
  MoE: {
    make: (w) => {
      const router = w.using(new remoe.DenseRouter(w.device, SIZES));
      return new remoe.MoE(w.device, { router, hidden: 4, width: 2, name: "x" });
    },
    trains: ["x.w1 [3,4,4]", "x.w2 [3,2,4]"],
  },
  TransformerBlock: {
    make: (w) => {
      const feedForward = new remoe.FeedForward(w.device, { hidden: 4, width: 3, name: "m" });
      return new remoe.TransformerBlock(w.device, { hidden: 4, heads: 2, feedForward, name: "b" });
    },
    trains: BLOCK.map((parameter) => `b.${parameter}`).concat(HALF),
  },
  LanguageModel: {
    make: ({ device }) =>
      new remoe.LanguageModel(device, {
        ...{ vocabulary: 5, layers: 1, hidden: 4, heads: 2 },
        feedForward: () => new remoe.FeedForward(device, { hidden: 4, width: 3, name: "m" }),
      }),
    has: { vocabulary: 5 },
    trains: [
      "model.embed_tokens.weight [5,4]",
      ...BLOCK.map((parameter) => `model.layers.0.${parameter}`),
      ...HALF,
      "model.norm.weight [4]",
      "lm_head.weight [4,5]",
    ],
  },
  AdamW: {
    make: (w) => new remoe.AdamW(w.device, [w.using(w.device.parameter([2]))]),
    has: { steps: 0 },
  },
  StepState: {
    make: ({ device }) => new remoe.StepState(device, { layers: 2, experts: 3 }),
    has: { layers: 2, experts: 3 },
  },
  KeyValueCache: {
    make: ({ device }) =>
      new remoe.KeyValueCache(device, { layers: 1, groups: 1, headDim: 2, batch: 3, capacity: 4 }),
    has: { batch: 3, capacity: 4 },
  },
};

function entriesOf([name, { make, has = {}, trains }]: [string, Made]): Entry[] {
  const list: Entry[] = [{
    of: `${name}.[Symbol.dispose]`,
    make: (w) => [w.using(make(w))],
    call: (object) => {
      object[Symbol.dispose]();
      object[Symbol.dispose]();
    },
    right: () => undefined,
    object: true,
  }];
  for (const [property, value] of Object.entries(has)) {
    list.push({
      of: `${name}.${property}`,
      make: (w) => [w.using(make(w))],
      call: (object) => object[property],
      right: () => value,
      object: true,
    });
  }
  if (trains) {
    list.push({
      of: `${name}.parameters`,
      make: (w) => [w.using(make(w))],
      call: (object) =>
        Array.from(
          object.parameters() as Iterable<remoe.Parameter>,
          ({ name, shape }) => `${name} [${shape}]`,
        ),
      right: () => trains,
      object: true,
    });
  }
  return list;
}

/** Properties, parameters and ends. */
export const lifetimes: readonly Entry[] = Object.entries(CLASSES).flatMap(entriesOf);
