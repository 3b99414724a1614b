/** Properties, parameters and disposal of layers, routers, states and optimizers. @module */

import * as remoe from "@remoe/remoe";
import type { Entry } from "../entry.ts";
import type { World } from "../world.ts";

const SIZES = { hidden: 4, experts: 3 };

/** Each class: how to make one, its properties, and its parameters. */
interface Made {
  // deno-lint-ignore no-explicit-any
  readonly make: (world: World) => any;
  readonly has?: Readonly<Record<string, unknown>>;
  readonly trains?: readonly string[];
  /** What it keeps with its weights but does not train. */
  readonly buffers?: readonly string[];
  /** Uses that must fail after disposal, keyed by what the error calls the object. */
  // deno-lint-ignore no-explicit-any
  readonly ends?: Readonly<Record<string, (object: any, device: remoe.Device) => unknown>>;
}

const BLOCK = [
  "input_layernorm.weight [4]",
  "self_attn.qkv_proj.weight [4,12]",
  "self_attn.o_proj.weight [4,4]",
  "post_attention_layernorm.weight [4]",
];
const HALF = ["m.gate_up_proj.weight [4,6]", "m.down_proj.weight [3,4]"];

const RULE = { active: 1, tokens: 4, alpha: 2, floor: 0, ceiling: 1, adapt: true };
const INPUTS = { learningRate: 1, biasCorrection1: 1, biasCorrection2: 1, step: 1 };

/** Records a layer's routing in a state. */
function record(device: remoe.Device, state: remoe.StepState): void {
  using router = new remoe.DenseRouter(device, SIZES);
  using layer = new remoe.MoE(device, { router, hidden: 4, width: 2, state });
  using _tape = device.record();
  layer.forward(device.ones([1, 4]));
}

/** A router that keeps a bias. */
function biased(w: World): remoe.Router {
  const router = w.using(new remoe.DenseRouter(w.device, SIZES));
  const bias = w.using(w.device.parameter([3], { name: "bias" }));
  return {
    ...SIZES,
    active: 3,
    route: (x) => router.route(x),
    parameters: () => [],
    buffers: () => [bias],
    [Symbol.dispose]() {},
  };
}

/** A merging router that keeps a bias. */
function biasedMerging(w: World): remoe.MergingRouter {
  const inner = w.using(new remoe.LoryRouter(w.device, SIZES));
  return { ...biased(w), merge: (x, context) => inner.merge(x as never, context) as never };
}

/** A second half that keeps a bias. */
function biasedHalf(w: World): remoe.FeedForwardLayer {
  const layer = new remoe.FeedForward(w.device, { hidden: 4, width: 3, name: "m" });
  return {
    forward: (x) => layer.forward(x),
    parameters: () => layer.parameters(),
    buffers: () => biased(w).buffers!(),
    [Symbol.dispose]: () => layer[Symbol.dispose](),
  };
}

const CLASSES: Readonly<Record<string, Made>> = {
  Linear: {
    make: ({ device }) => new remoe.Linear(device, { input: 2, output: 3, name: "w" }),
    trains: ["w [2,3]"],
    ends: {
      "matmul parameter w [2, 3]": (layer, device) => layer.forward(device.ones([1, 2])),
      "take the gradient of parameter w [2, 3]": (layer) => layer.weight.gradient,
    },
  },
  Embedding: {
    make: ({ device }) => new remoe.Embedding(device, { vocabulary: 5, hidden: 2, name: "w" }),
    trains: ["w [5,2]"],
    ends: {
      "embed with parameter w [5, 2]": (layer, device) => layer.forward(device.tokens([1])),
    },
  },
  RmsNorm: {
    make: ({ device }) => new remoe.RmsNorm(device, { hidden: 2, name: "w" }),
    trains: ["w [2]"],
    ends: {
      "apply rmsNorm to parameter w [2]": (layer, device) => layer.forward(device.ones([1, 2])),
    },
  },
  FeedForward: {
    make: ({ device }) => new remoe.FeedForward(device, { hidden: 2, width: 3, name: "m" }),
    trains: ["m.gate_up_proj.weight [2,6]", "m.down_proj.weight [3,2]"],
    ends: {
      "matmul parameter m.gate_up_proj.weight [2, 6]": (layer, device) =>
        layer.forward(device.ones([1, 2])),
    },
  },
  Attention: {
    make: ({ device }) =>
      new remoe.Attention(device, { hidden: 4, heads: 2, groups: 1, name: "a" }),
    trains: ["a.qkv_proj.weight [4,8]", "a.o_proj.weight [4,4]"],
    ends: {
      "matmul parameter a.qkv_proj.weight [4, 8]": (layer, device) =>
        layer.forward(device.ones([2, 4]), 2),
    },
  },
  ReluRouter: {
    make: ({ device }) => new remoe.ReluRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
    ends: {
      "route by ReLU with parameter g [4, 3]": (router, device) =>
        router.route(device.ones([1, 4])),
      "read λ from the step's state": (router) => router.adapt(0.5),
    },
  },
  TopKRouter: {
    make: ({ device }) => new remoe.TopKRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
    ends: {
      "route by TopK with parameter g [4, 3]": (router, device) =>
        router.route(device.ones([1, 4])),
    },
  },
  ExpertChoiceRouter: {
    make: ({ device }) => new remoe.ExpertChoiceRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
    ends: {
      "route by expert choice with parameter g [4, 3]": (router, device) =>
        router.route(device.ones([1, 4])),
    },
  },
  HashRouter: {
    make: ({ device }) => new remoe.HashRouter(device, SIZES),
    has: { ...SIZES, active: 1 },
    trains: [],
  },
  SigmoidRouter: {
    make: ({ device }) => new remoe.SigmoidRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
    buffers: ["g.e_score_correction_bias [3]"],
    ends: {
      "route by sigmoid with parameter g [4, 3]": (router, device) =>
        router.route(device.ones([1, 4])),
    },
  },
  SparseMixerRouter: {
    make: ({ device }) => new remoe.SparseMixerRouter(device, { ...SIZES, active: 2, name: "g" }),
    has: { ...SIZES, active: 2 },
    trains: ["g [4,3]"],
    ends: {
      "route by SparseMixer with parameter g [4, 3]": (router, device) =>
        router.route(device.ones([1, 4])),
    },
  },
  DenseRouter: {
    make: ({ device }) => new remoe.DenseRouter(device, SIZES),
    has: { ...SIZES, active: 3 },
    trains: [],
  },
  LoryRouter: {
    make: ({ device }) => new remoe.LoryRouter(device, { ...SIZES, name: "g" }),
    has: { ...SIZES, active: 1 },
    trains: ["g [4,3]"],
    ends: {
      "route by Lory with parameter g [4, 3]": (router, device) =>
        router.merge(device.ones([1, 4])),
    },
  },
  MergedExperts: {
    make: (w) => {
      const sizes = { hidden: 4, width: 2, name: "x" };
      return new remoe.MergedExperts(w.device, { router: biasedMerging(w), ...sizes });
    },
    trains: ["x.w1 [3,4,4]", "x.w2 [3,2,4]"],
    buffers: ["bias [3]"],
    ends: {
      "run a merging layer on parameter x.w1 [3, 4, 4]": (layer, device) =>
        layer.forward(device.ones([1, 4])),
    },
  },
  MoE: {
    make: (w) => {
      return new remoe.MoE(w.device, { router: biased(w), hidden: 4, width: 2, name: "x" });
    },
    trains: ["x.w1 [3,4,4]", "x.w2 [3,2,4]"],
    buffers: ["bias [3]"],
    ends: {
      "run an MoE layer on parameter x.w1 [3, 4, 4]": (layer, device) =>
        layer.forward(device.ones([1, 4])),
    },
  },
  TransformerBlock: {
    make: (w) => {
      const feedForward = biasedHalf(w);
      return new remoe.TransformerBlock(w.device, { hidden: 4, heads: 2, feedForward, name: "b" });
    },
    trains: BLOCK.map((parameter) => `b.${parameter}`).concat(HALF),
    buffers: ["bias [3]"],
    ends: {
      "apply rmsNorm to parameter b.input_layernorm.weight [4]": (layer, device) =>
        layer.forward(device.ones([2, 4]), 2),
    },
  },
  LanguageModel: {
    make: (w) =>
      new remoe.LanguageModel(w.device, {
        ...{ vocabulary: 5, layers: 1, hidden: 4, heads: 2 },
        feedForward: () => biasedHalf(w),
      }),
    has: { vocabulary: 5 },
    trains: [
      "model.embed_tokens.weight [5,4]",
      ...BLOCK.map((parameter) => `model.layers.0.${parameter}`),
      ...HALF,
      "model.norm.weight [4]",
      "lm_head.weight [4,5]",
    ],
    buffers: ["bias [3]"],
    ends: {
      "embed with parameter model.embed_tokens.weight [5, 4]": (model, device) =>
        model.logits(device.tokens([1, 2]), 2),
    },
  },
  AdamW: {
    make: (w) => new remoe.AdamW(w.device, [w.using(w.device.parameter([2]))]),
    has: { steps: 0 },
    ends: {
      "take a step with the optimizer": (optimizer) => optimizer.step(),
    },
  },
  StepState: {
    make: ({ device }) => new remoe.StepState(device, { layers: 2, experts: 3 }),
    has: { layers: 2, experts: 3 },
    ends: {
      "read the step's state": (state) => state.read(),
      "begin a step with the step's state": (state) => state.begin(),
      "read λ from the step's state": (state) => state.lambda,
      "set λ in the step's state": (state) => state.setLambda(1),
      "update λ in the step's state": (state) => state.updateLambda(RULE),
      "write a step's inputs to the step's state": (state) => state.writeInputs(INPUTS),
      "add a loss to the step's state": (state, device) =>
        state.addLoss(remoe.sum(device.ones([1])), 1),
      "record routing in the step's state": (state, device) => record(device, state),
    },
  },
  KeyValueCache: {
    make: ({ device }) =>
      new remoe.KeyValueCache(device, { layers: 1, groups: 1, headDim: 2, batch: 3, capacity: 4 }),
    has: { batch: 3, capacity: 4 },
    ends: {
      "fill the cache": (cache, device) => cache.fill(0, device.ones([3, 6]), 1),
      "attend with the cache": (cache, device) => cache.attend(0, device.ones([3, 6]), 1, 1e4),
      "use the cache": (cache) => cache.setLengths([0, 0, 0]),
    },
  },
};

/** The device of an object whose disposal is tested. */
const homes = new WeakMap<object, remoe.Device>();

/** The error that a use is refused with. */
function refusal(use: () => unknown): string {
  try {
    return `gave ${Deno.inspect(use())}`;
  } catch (error) {
    if (error instanceof ReferenceError) return error.message;
    throw error;
  }
}

function entriesOf([name, { make, has = {}, trains, buffers, ends }]: [string, Made]): Entry[] {
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
  if (ends) {
    list.push({
      of: `${name}.[Symbol.dispose]`,
      variant: "and used again",
      make: (w) => {
        const object = w.using(make(w));
        homes.set(object, w.device);
        return [object];
      },
      call: (object) => {
        object[Symbol.dispose]();
        const device = homes.get(object)!;
        return Object.values(ends).map((use) => refusal(() => use(object, device)));
      },
      right: () => Object.keys(ends).map((what) => `Cannot ${what} after it was disposed of`),
      object: true,
    });
  }
  for (const [property, value] of Object.entries(has)) {
    list.push({
      of: `${name}.${property}`,
      make: (w) => [w.using(make(w))],
      call: (object) => object[property],
      right: () => value,
      object: true,
    });
  }
  for (const [method, tensors] of Object.entries({ parameters: trains, buffers })) {
    if (tensors === undefined) continue;
    list.push({
      of: `${name}.${method}`,
      make: (w) => [w.using(make(w))],
      call: (object) =>
        Array.from(
          object[method]() as Iterable<remoe.Parameter>,
          ({ name, shape }) => `${name} [${shape}]`,
        ),
      right: () => tensors,
      object: true,
    });
  }
  return list;
}

/** Properties, parameters and disposal. */
export const lifetimes: readonly Entry[] = Object.entries(CLASSES).flatMap(entriesOf);
