import { assert, assertAlmostEquals } from "@std/assert";
import {
  add,
  type Device,
  FeedForward,
  type FeedForwardLayer,
  LanguageModel,
  MoE,
  type Parameter,
  read,
  ReluRouter,
  type Router,
  TopKRouter,
  write,
} from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { dot } from "../../kernels/cases/reference/reduction.ts";
import { SharedExpert } from "../../lib/nn/shared_expert.ts";
import { openDevice } from "../tensor/open_device.ts";
import {
  type AttentionExtras,
  denseFeedForward,
  type FeedForwardReference,
  languageModel,
  mixture,
  type ModelResult,
  type Weights,
} from "./language_model_reference.ts";

const SIZES = {
  vocabulary: 19,
  layers: 2,
  hidden: 16,
  heads: 4,
  groups: 2,
  ropeBase: 100,
  normEpsilon: Math.fround(1e-5),
} as const;
const SEQUENCE = 8;
const [WIDTH, EXPERTS] = [12, 4] as const;

/** Each parameter is perturbed along this many random directions. */
const DIRECTIONS = 4;

/**
 * A step along a unit direction moves each element by about 1e-4 / √size: in float64 the truncation
 * error stays near 1e-8 of the derivative and the cancellation error near 1e-12.
 */
const STEP = 1e-4;

/**
 * The gradient passes in fp32 through some 40 kernels with sums of up to 100 terms; measured errors
 * are 1e-6 of its norm or less. A wrong factor, sign or term shows at 1e-1 to 1e-3.
 */
const TOLERANCE = 1e-5;

interface Model {
  /** What other families' models have besides LLaMA's. */
  options?: AttentionExtras & { readonly tied?: boolean };
  /** Makes the second half of a block. */
  feedForward(device: Device, stack: DisposableStack, layer: number): FeedForwardLayer;
  reference: FeedForwardReference;
}

/** An MoE layer as the second half of a block. */
function moeLayer(
  device: Device,
  stack: DisposableStack,
  router: Router<number, number>,
  layer: number,
): FeedForwardLayer {
  stack.use(router);
  const name = `model.layers.${layer}.experts`;
  const options = { router, hidden: SIZES.hidden, width: WIDTH, deviation: 0.3, name };
  const moe = new MoE(device, options);
  return {
    forward: (x) => moe.forward(x).output,
    parameters: () => moe.parameters(),
    [Symbol.dispose]: () => moe[Symbol.dispose](),
  };
}

const moe = { hidden: SIZES.hidden, width: WIDTH, experts: EXPERTS, deviation: 0.5 } as const;
const { hidden, experts, deviation } = moe;
const gateName = (layer: number): string => `model.layers.${layer}.gate`;

const DENSE: Model = {
  feedForward: (device, _, layer) =>
    new FeedForward(device, {
      hidden,
      width: WIDTH,
      deviation: 0.3,
      name: `model.layers.${layer}.mlp`,
    }),
  reference: denseFeedForward(hidden, WIDTH),
};

const MODELS: Record<string, Model> = {
  "dense": DENSE,
  "dense, with a tied head": { ...DENSE, options: { tied: true } },
  "dense, with wide heads that are normalised and have a bias": {
    ...DENSE,
    options: { headDim: 6, qkvBias: true, qkNorm: "head", tied: true },
  },
  "dense, with queries and keys that are normalised together and clipped": {
    ...DENSE,
    options: { headDim: 2, qkNorm: "full", clipQkv: 1 },
  },
  "ReLU routing without regularisation": {
    feedForward: (device, stack, layer) => {
      const options = {
        hidden,
        experts,
        deviation,
        balance: "none",
        name: gateName(layer),
      } as const;
      return moeLayer(device, stack, new ReluRouter(device, options), layer);
    },
    reference: mixture({ ...moe, active: 1, router: "relu" }),
  },
  "ReLU routing with load balancing": {
    feedForward: (device, stack, layer) => {
      const options = { hidden, experts, deviation, lambda: 0.5, layers: SIZES.layers };
      const router = new ReluRouter(device, { ...options, active: 2, name: gateName(layer) });
      return moeLayer(device, stack, router, layer);
    },
    reference: mixture({
      ...moe,
      active: 2,
      router: "relu",
      balance: "load",
      coefficient: 0.5 / SIZES.layers,
    }),
  },
  "TopK routing with its balance loss": {
    feedForward: (device, stack, layer) => {
      const options = { hidden, experts, deviation, active: 2, balanceCoefficient: 0.3 };
      const router = new TopKRouter(device, { ...options, name: gateName(layer) });
      return moeLayer(device, stack, router, layer);
    },
    reference: mixture({ ...moe, active: 2, router: "topk", balance: "switch", coefficient: 0.3 }),
  },
  "TopK routing beside a shared expert with a gate, after a layer without experts": {
    feedForward: (device, stack, layer) => {
      if (layer === 0) return DENSE.feedForward(device, stack, layer);
      const options = { hidden, experts, deviation, active: 2, balanceCoefficient: 0 };
      const router = new TopKRouter(device, { ...options, name: gateName(layer) });
      const routed = moeLayer(device, stack, router, layer);
      const shared = stack.use(
        new SharedExpert(device, {
          ...{ hidden, width: 10, gated: true, deviation: 0.3, outputDeviation: 0.3 },
          ...{ name: `model.layers.${layer}`, dtype: "f32" },
        }),
      );
      return {
        forward: (x) => add(routed.forward(x), shared.forward(x)) as typeof x,
        *parameters() {
          yield* routed.parameters();
          yield* shared.parameters();
        },
        [Symbol.dispose]: () => routed[Symbol.dispose](),
      };
    },
    reference: (x, weights, prefix) => {
      if (prefix.endsWith(".0")) return DENSE.reference(x, weights, prefix);
      const routed = mixture({ ...moe, active: 2, router: "topk" })(x, weights, prefix);
      const named = Object.fromEntries(
        ["gate_up_proj", "down_proj"].map((part) => [
          `${prefix}.mlp.${part}.weight`,
          weights[`${prefix}.shared_expert.${part}.weight`]!,
        ]),
      );
      const shared = denseFeedForward(hidden, 10)(x, named, prefix);
      const gate = weights[`${prefix}.shared_expert_gate.weight`]!;
      const y = routed.y.map((value, i) => {
        const row = Math.floor(i / hidden) * hidden;
        const logit = dot(x.subarray(row, row + hidden), gate);
        return value + shared.y[i]! / (1 + Math.exp(-logit));
      });
      return { ...routed, y };
    },
  },
  "TopK routing, renormalised": {
    feedForward: (device, stack, layer) => {
      const options = { hidden, experts, deviation, active: 2, balanceCoefficient: 0 };
      const router = new TopKRouter(device, {
        ...options,
        renormalize: true,
        name: gateName(layer),
      });
      return moeLayer(device, stack, router, layer);
    },
    reference: mixture({ ...moe, active: 2, router: "topk", renormalize: true }),
  },
};

/** The derivative along a direction, or null if the routing changes on the way. */
function derivativeAlong(
  weights: Weights,
  name: string,
  direction: Float64Array,
  loss: (weights: Weights) => ModelResult,
): number | null {
  const at = (distance: number): ModelResult => {
    const moved = weights[name]!.map((value, i) => value + distance * direction[i]!);
    return loss({ ...weights, [name]: moved });
  };
  const [above, below] = [at(STEP), at(-STEP)];
  if (above.routing !== below.routing) return null;
  return (above.loss - below.loss) / (2 * STEP);
}

/**
 * A random unit direction in the gradient's orthant: along any other, most of a gradient with
 * thousands of elements would cancel. Elements with gradient 0 take either sign.
 */
function directionOf(gradient: Float32Array, random: Random): Float64Array {
  const raw = Float64Array.from(gradient, (value) => {
    const size = Math.abs(random.gaussian());
    return (value === 0 ? random.next() < 0.5 : value < 0) ? -size : size;
  });
  const norm = Math.sqrt(dot(raw, raw));
  return raw.map((value) => value / norm);
}

async function snapshot(
  parameters: readonly Parameter[],
  of: (parameter: Parameter) => Promise<Float32Array>,
): Promise<Record<string, Float32Array>> {
  const entries = parameters.map(async (parameter) =>
    [parameter.name, await of(parameter)] as const
  );
  return Object.fromEntries(await Promise.all(entries));
}

for (const [name, { feedForward, reference, options = {} }] of Object.entries(MODELS)) {
  Deno.test(`a model's gradient matches its float64 definition: ${name}`, async () => {
    using device = await openDevice({ seed: 11 });
    using stack = new DisposableStack();
    using model = new LanguageModel(device, {
      ...SIZES,
      ...options,
      deviation: 0.25,
      feedForward: (layer) => feedForward(device, stack, layer),
    });
    const random = new Random(name);
    const tokens = random.integers(3 * SEQUENCE, SIZES.vocabulary);
    const targets = random.integers(3 * SEQUENCE, SIZES.vocabulary);
    targets[5] = -1;

    // At their initial values, biases and scales would not be missed.
    for (
      const parameter of [...model.parameters()].filter(({ name }) => /bias|[qk]_norm/.test(name))
    ) {
      write(
        parameter,
        Array.from(await read(parameter), (value) => value + 0.5 * random.gaussian()),
      );
    }

    using tape = device.record();
    const { loss } = model.loss(device.tokens(tokens), device.tokens(targets), SEQUENCE);
    tape.backward(loss);
    const parameters = [...model.parameters()];
    const gradients = await snapshot(parameters, ({ gradient }) => read(gradient));
    const fp32 = await snapshot(parameters, (parameter) => read(parameter));
    const weights = Object.fromEntries(
      Object.entries(fp32).map(([key, array]) => [key, Float64Array.from(array)]),
    );
    const sizes = { ...SIZES, ...options, sequence: SEQUENCE };
    const lossOf = (moved: Weights): ModelResult =>
      languageModel(moved, tokens, targets, sizes, reference);

    // The library leaves penalties out of the loss but includes them in the gradient.
    const withoutPenalty = languageModel(
      weights,
      tokens,
      targets,
      sizes,
      (...given) => ({
        ...reference(...given),
        penalty: 0,
      }),
    );
    assertAlmostEquals((await read(loss))[0]!, withoutPenalty.loss, 1e-5);

    let [checked, skipped] = [0, 0];
    for (const [parameter, gradient] of Object.entries(gradients)) {
      const norm = Math.sqrt(dot(gradient, gradient));
      assert(norm > 1e-4, `${parameter} has hardly any gradient: ${norm}`);
      for (let i = 0; i < DIRECTIONS; i++) {
        const direction = directionOf(gradient, random);
        const expected = derivativeAlong(weights, parameter, direction, lossOf);
        if (expected === null) {
          skipped++;
          continue;
        }
        checked++;
        const error = Math.abs(dot(gradient, direction) - expected) / norm;
        assert(error < TOLERANCE, `${parameter}: off by ${error} of the gradient's norm`);
      }
    }
    assert(skipped < 0.1 * checked, `${skipped} directions cross a change of the routing`);
  });
}
