/** Whole models in bf16, against the same models in f32. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Attention,
  cast,
  ConfigError,
  type Device,
  FeedForward,
  KeyValueCache,
  type LayerCache,
  Linear,
  LoryRouter,
  matmul,
  meanSquaredError,
  MergedExperts,
  MoE,
  type Parameter,
  read,
  relu,
  ReluRouter,
  reshape,
  type Router,
  type Routing,
  routingOf,
  type Tensor,
  TransformerBlock,
  write,
} from "../../mod.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { type ConfigLayer, parseConfig } from "../../lib/train/mod.ts";
import { median } from "../../lib/median.ts";
import { openDevice } from "../tensor/open_device.ts";

/**
 * A number passes some 12 roundings to bf16 in a block (norm, projection, rotation, probabilities,
 * attention, projection, sum; norm, pre-activation, activation, result, sum), as many on the way
 * back, in two blocks; each moves it by at most 2^-9 of itself. Independent roundings add up like
 * their root, of which three times is allowed in the median over some seeds: 4 %. One seed alone may
 * have a parameter whose gradient nearly cancels. A wrong factor or term is larger under all.
 */
const ROUNDINGS = 2 * 2 * 12;
const TOLERANCE = 3 * Math.sqrt(ROUNDINGS) * 2 ** -9;
const PAIRS = 5;

const TOKENS = Array.from({ length: 64 }, (_, i) => (7 * i * i + 3 * i) % 250);

const ROUTERS: Record<string, ConfigLayer> = {
  dense: { moe: { router: "dense" } },
  "dense, with wide heads that are normalised, and all tied": {
    model: { head_dim: 12, qk_norm: "head", qkv_bias: true, tied: true },
    moe: { router: "dense" },
  },
  // The limit is out of reach: where one of two models is cut off, they are not the same function.
  "dense, with queries and keys that are normalised together and limited": {
    model: { qk_norm: "full", clip_qkv: 4 },
    moe: { router: "dense" },
  },
  relu: {},
  "relu with shared experts": { moe: { active: 2, shared: 1 } },
  topk: { moe: { router: "topk", active: 2 } },
  "topk with a gated shared expert, and a layer without experts": {
    moe: { router: "topk", active: 2, shared_ffn: 48, shared_gate: true, dense_layers: [0] },
  },
  sigmoid: { moe: { router: "sigmoid", active: 2 } },
  sparsemixer: { moe: { router: "sparsemixer" } },
  hash: { moe: { router: "hash" } },
  "expert-choice": { moe: { router: "expert-choice" } },
  lory: { moe: { router: "lory" } },
};

/**
 * Seeds to try: in some, an expert of a token is decided by so little that a rounding changes it,
 * and then the two models are not the same function.
 */
const SEEDS = Array.from({ length: 100 }, (_, i) => i);

interface Trained {
  readonly loss: number;
  /** The gates, layer by layer. */
  readonly gates: readonly Float32Array[];
  readonly gradients: Map<string, Float32Array>;
}

/** Loss and gradients of one micro-batch. */
async function trained(
  layer: ConfigLayer,
  seed: number,
  dtype: "f32" | "bf16",
): Promise<Trained> {
  using device = await openDevice({ seed });
  const sizes = { layers: 2, hidden: 32, heads: 4, groups: 2, init_std: 0.15, dtype };
  const model = { ...sizes, ...layer.model };
  using built = buildModel(device, parseConfig({ preset: "pico", seed, ...layer, model }));
  assertEquals(built.model.dtype, dtype);
  using tape = device.record();
  const tokens = device.tokens(TOKENS);
  const gates: Tensor<"f32">[] = [];
  const { loss } = built.model.loss(tokens, device.tokens(TOKENS.with(0, 9)), 16, {
    step: 0,
    onRouting: (_layer, routing) => gates.push(routing.gates),
  });
  tape.backward(loss);
  const gradients = new Map<string, Float32Array>();
  for (const { name, gradient } of built.model.parameters()) {
    assertEquals(gradient.dtype, "f32", name);
    gradients.set(name, await read(gradient));
  }
  return {
    loss: (await read(loss))[0]!,
    gates: await Promise.all(gates.map((each) => read(each))),
    gradients,
  };
}

/**
 * Whether both take the same branches: the same gates are 0, and none jumps. SparseMixer leaves
 * experts out of its softmax and takes a third of a gate by comparing logits, in the same mask.
 */
function routeAlike(f32: Trained, bf16: Trained): boolean {
  return f32.gates.every((gates, layer) =>
    gates.every((gate, i) => {
      const other = bf16.gates[layer]![i]!;
      return (gate === 0) === (other === 0) &&
        Math.abs(gate - other) < 0.1 * Math.max(1, Math.abs(gate));
    })
  );
}

/** Both models under the first seeds with which they route alike. */
async function trainedAlike(layer: ConfigLayer): Promise<(readonly [Trained, Trained])[]> {
  const pairs: (readonly [Trained, Trained])[] = [];
  for (const seed of SEEDS) {
    const pair = [await trained(layer, seed, "f32"), await trained(layer, seed, "bf16")] as const;
    if (routeAlike(...pair)) pairs.push(pair);
    if (pairs.length === PAIRS) return pairs;
  }
  throw new Error(`The models route alike under only ${pairs.length} of ${SEEDS.length} seeds`);
}

const norm = (values: Float32Array): number => Math.hypot(...values);

for (const [name, layer] of Object.entries(ROUTERS)) {
  Deno.test(`gradients of a model in bf16 are those of f32 within roundings (${name})`, async () => {
    const pairs = await trainedAlike(layer);
    for (const [f32, bf16] of pairs) {
      assert(f32.loss !== bf16.loss, "nothing was rounded");
      assert(Math.abs(f32.loss - bf16.loss) < TOLERANCE * f32.loss, `${f32.loss} and ${bf16.loss}`);
    }
    for (const parameter of pairs[0]![0].gradients.keys()) {
      const error = median(pairs.map(([f32, bf16]) => {
        const exact = f32.gradients.get(parameter)!;
        const rounded = bf16.gradients.get(parameter)!;
        return norm(exact.map((value, i) => rounded[i]! - value)) / norm(exact);
      }));
      assert(error < TOLERANCE, `${parameter}: ${error} of its norm`);
    }
  });
}

Deno.test("cached logits in bf16 equal those of training, which are fp32", async () => {
  const model = {
    layers: 2,
    hidden: 32,
    heads: 4,
    groups: 2,
    init_std: 0.3,
    dtype: "bf16",
  } as const;
  for (const moe of [{}, { router: "topk", active: 2 }, { router: "lory" }] as const) {
    using device = await openDevice({ seed: 2 });
    using built = buildModel(device, parseConfig({ preset: "pico", model, moe }));
    const sequences = [[256, 5, 9, 77, 31], [256], [256, 200, 3]];
    using cache = built.model.openCache(3, 12);
    using _scope = device.noGradient();
    let logits = built.model.prefill(sequences, cache);
    for (let step = 0; step < 4; step++) {
      assertEquals(logits.dtype, "f32");
      const all = await read(logits);
      for (const [b, sequence] of sequences.entries()) {
        // Lory routes a prompt by its own mean, and what follows by the prompt's.
        if ("router" in moe && moe.router === "lory" && step > 0) continue;
        const exact = await read(built.model.nextLogits(device.tokens(sequence)));
        const ours = all.slice(b * 257, (b + 1) * 257);
        const error = norm(exact.map((value, i) => ours[i]! - value)) / norm(exact);
        // Both are rounded, in different orders.
        const message = `${JSON.stringify(moe)}, step ${step}: ${error}`;
        assert(error < Math.SQRT2 * TOLERANCE, message);
      }
      sequences.forEach((sequence, b) => sequence.push((sequence.at(-1)! * 7 + b + step) % 256));
      logits = built.model.decode(sequences.map((sequence) => sequence.at(-1)!), cache);
    }
  }
});

/** A router that knows nothing of bf16, as users have written them. */
class OwnRouter implements Router {
  readonly active = 1;
  readonly hidden = 16;
  readonly experts = 4;
  readonly weight: Parameter<readonly [number, number]>;
  /** The types of the states it was given. */
  readonly given: string[] = [];

  constructor(device: Device) {
    this.weight = device.parameter([16, 4], { name: "own", deviation: 0.3 });
  }

  route<T extends number>(x: Tensor<"f32", readonly [T, number]>): Routing<T> {
    this.given.push(x.dtype);
    return routingOf(relu(matmul(x, this.weight)));
  }

  parameters() {
    return [this.weight];
  }

  [Symbol.dispose]() {
    this.weight[Symbol.dispose]();
  }
}

Deno.test("a router of f32 gets a cast of bf16 states, through which its gradient flows", async () => {
  using device = await openDevice({ seed: 4 });
  using own = new OwnRouter(device);
  const sizes: { hidden: number; experts: number } = { hidden: 16, experts: 4 };
  using known = new ReluRouter(device, { ...sizes, balance: "none" });
  write(known.weight, await read(own.weight));
  const x = cast(device.normal([12, 16]), "bf16"), y = cast(device.normal([12, 16]), "bf16");
  const gradients = async (router: Router): Promise<[Float32Array, Float32Array]> => {
    using layer = new MoE(device, { router, hidden: 16, width: 8, dtype: "bf16" });
    for (const parameter of [...layer.parameters()].slice(1)) {
      write(parameter, Array.from({ length: parameter.size }, (_, i) => Math.sin(i)));
    }
    using tape = device.record();
    const states = tape.watch(reshape(x, [12, 16]));
    const { output } = layer.forward(states);
    assertEquals(output.dtype, "bf16");
    tape.backward(meanSquaredError(output, y));
    const [weight] = router.parameters() as [Parameter];
    return [await read(tape.gradient(states)), await read(weight.gradient)];
  };
  const [[x1, w1], [x2, w2]] = [await gradients(own), await gradients(known)];
  assertEquals(own.given, ["f32"]);
  for (const [ours, theirs] of [[x1, x2], [w1, w2]] as const) {
    assert(norm(ours) > 0);
    assert(norm(ours.map((value, i) => theirs[i]! - value)) < 2 ** -7 * norm(ours));
  }
});

Deno.test("layers refuse states, caches and parts of another type", async () => {
  using device = await openDevice({ seed: 4 });
  const wide = device.normal([4, 8]) as Tensor as Tensor<"bf16", readonly [4, 8]>;
  const half = cast(wide, "bf16") as Tensor as Tensor<"f32", readonly [4, 8]>;
  using linear = new Linear(device, { input: 8, output: 8 });
  using halfLinear = new Linear(device, { input: 8, output: 8, dtype: "bf16" });
  assertThrows(() => linear.forward(half), TypeError, "bf16 and f32");
  assertThrows(() => halfLinear.forward(wide), TypeError, "f32 and bf16");
  using router = new ReluRouter(device, { hidden: 8, experts: 2 });
  using moe = new MoE(device, { router, hidden: 8, width: 4 });
  using halfMoE = new MoE(device, { router, hidden: 8, width: 4, dtype: "bf16" });
  assertThrows(() => moe.forward(half), TypeError, "bf16 and f32");
  assertThrows(() => halfMoE.forward(wide), TypeError, "f32 and bf16");
  using lory = new LoryRouter(device, { hidden: 8, experts: 2 });
  using merged = new MergedExperts(device, { router: lory, hidden: 8, width: 4 });
  assertThrows(() => merged.forward(half), TypeError, "of f32 on states of bf16");
  using attention = new Attention(device, { hidden: 8, heads: 2, dtype: "bf16" });
  const sizes = { layers: 1, groups: 2, headDim: 4, batch: 1, capacity: 8 };
  using cache = new KeyValueCache(device, sizes);
  const held = { cache, layer: 0 } as unknown as LayerCache<"bf16">;
  const states = half as Tensor as Tensor<"bf16", readonly [4, number]>;
  assertThrows(() => attention.forward(states, 4, held), ConfigError, "a cache of f32");
  const projection = cast(device.normal([1, 24]), "bf16") as Tensor as Tensor<"f32", [1, number]>;
  assertThrows(
    () => cache.attend(0, projection, 2, 1e4),
    TypeError,
    "of f32 and a projection of bf16",
  );
  assertThrows(() => cache.fill(0, projection, 1), TypeError, "of f32 and a projection of bf16");
  // In JavaScript: a block of bf16 whose second half computes in f32.
  const feedForward = new FeedForward(device, { hidden: 8 }) as unknown as FeedForward<"bf16">;
  using block = new TransformerBlock(device, { hidden: 8, heads: 2, feedForward, dtype: "bf16" });
  assertThrows(() => block.forward(states, 4), TypeError, "bf16 and f32");
  assertThrows(
    () => new Linear(device, { input: 8, output: 8, dtype: "f64" as "f32" }),
    TypeError,
    'dtype is "f64"',
  );
});

Deno.test("a cache of bf16 takes half the memory and holds what it was given", async () => {
  using device = await openDevice({ seed: 4 });
  const sizes = { layers: 2, groups: 1, headDim: 2, batch: 2, capacity: 4 };
  const bytesOf = (make: () => Disposable): number => {
    const { inUse } = device.statistics();
    using _made = make();
    return device.statistics().inUse - inUse;
  };
  const lengths = 2 * 4;
  const wide = bytesOf(() => new KeyValueCache(device, sizes)) - lengths;
  assertEquals(
    bytesOf(() => new KeyValueCache(device, { ...sizes, dtype: "bf16" })) - lengths,
    wide / 2,
  );
  using cache = new KeyValueCache(device, { ...sizes, dtype: "bf16" });
  // The first token of each sequence, in the second layer: it sees only itself.
  const qkv = cast(device.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 6]), "bf16");
  assertEquals([...await read(cache.attend(1, qkv, 1, 1e4))], [5, 6, 11, 12]);
});
