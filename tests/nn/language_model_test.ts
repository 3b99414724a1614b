import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  type Device,
  FeedForward,
  type FeedForwardLayer,
  LanguageModel,
  MoE,
  read,
  ReluRouter,
  StepState,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { Random } from "../../kernels/cases/random.ts";
import { logSumExp } from "../../kernels/cases/reference/reduction.ts";
import { openDevice } from "../tensor/open_device.ts";

const SIZES = { vocabulary: 257, layers: 2, hidden: 32, heads: 4, groups: 2 } as const;
const [SEQUENCE, BATCH] = [16, 2] as const;

function makeModel(device: Device, deviation?: number): LanguageModel {
  return new LanguageModel(device, {
    ...SIZES,
    ...(deviation === undefined ? {} : { deviation }),
    feedForward: () => new FeedForward(device, { hidden: SIZES.hidden, width: 64 }),
  });
}

function text(name: string): { tokens: Int32Array; targets: Int32Array } {
  const random = new Random(name);
  const count = BATCH * SEQUENCE;
  return {
    tokens: random.integers(count, SIZES.vocabulary),
    targets: random.integers(count, SIZES.vocabulary),
  };
}

Deno.test("the loss starts at about ln V", async () => {
  using device = await openDevice({ seed: 1 });
  using model = makeModel(device);
  using _scope = device.scope();
  const { tokens, targets } = text("start");
  const { loss } = model.loss(device.tokens(tokens), device.tokens(targets), SEQUENCE);
  assertAlmostEquals((await read(loss))[0]!, Math.log(SIZES.vocabulary), 0.15);
});

Deno.test("loss() is the cross entropy of logits()", async () => {
  using device = await openDevice({ seed: 2 });
  using model = makeModel(device, 0.3);
  using _scope = device.scope();
  const { tokens, targets } = text("loss");
  targets[3] = -1;
  targets[20] = -100;
  const logits = await read(model.logits(device.tokens(tokens), SEQUENCE));
  const expected = Array.from(targets, (target, t) => {
    const row = Float64Array.from(logits.subarray(t * 257, (t + 1) * 257));
    return target < 0 ? 0 : logSumExp(row) - row[target]!;
  });
  const given = model.loss(device.tokens(tokens), device.tokens(targets), SEQUENCE);
  assertClose(await read(given.tokenLoss), expected, "loss of each token", 1e-5);
  const mean = expected.reduce((total, loss) => total + loss, 0) / (targets.length - 2);
  assertAlmostEquals((await read(given.loss))[0]!, mean, 1e-5 * mean);
});

Deno.test("nextLogits() is the last row of logits()", async () => {
  using device = await openDevice({ seed: 3 });
  using model = makeModel(device, 0.3);
  using _scope = device.scope();
  for (const length of [1, 2, 13]) {
    const tokens = device.tokens(text("next").tokens.slice(0, length));
    const all = await read(model.logits(tokens, length));
    const next = model.nextLogits(tokens);
    assertEquals(next.shape, [1, 257]);
    assertClose(await read(next), all.subarray((length - 1) * 257), `${length} tokens`, 1e-5);
  }
});

Deno.test("a token's logits do not depend on later tokens", async () => {
  using device = await openDevice({ seed: 4 });
  using model = makeModel(device, 0.3);
  using _scope = device.scope();
  const { tokens } = text("causal");
  const before = await read(model.logits(device.tokens(tokens), SEQUENCE));
  tokens[9] = (tokens[9]! + 1) % 257;
  const after = await read(model.logits(device.tokens(tokens), SEQUENCE));
  const changed = Array.from({ length: BATCH * SEQUENCE }, (_, t) => t).filter((t) =>
    after.subarray(t * 257, (t + 1) * 257).some((value, i) => value !== before[t * 257 + i])
  );
  assertEquals(changed, [9, 10, 11, 12, 13, 14, 15]);
});

Deno.test("parameters() names every weight once, as checkpoints do", async () => {
  using device = await openDevice();
  using model = makeModel(device);
  const names = [...model.parameters()].map(({ name }) => name);
  assertEquals(names[0], "model.embed_tokens.weight");
  assertEquals(names.slice(-2), ["model.norm.weight", "lm_head.weight"]);
  assert(names.includes("model.layers.1.self_attn.o_proj.weight"));
  assertEquals(names.length, 1 + 2 * 6 + 2);
});

Deno.test("projections into the residual stream start smaller by √(2 · layers)", async () => {
  using device = await openDevice({ seed: 5 });
  using model = makeModel(device);
  const deviations = new Map<string, number>();
  for (const parameter of model.parameters()) {
    const x = await read(parameter);
    const squares = x.reduce((total, value) => total + value * value, 0);
    deviations.set(parameter.name, Math.sqrt(squares / x.length));
  }
  const expected = 0.01 * Math.sqrt(768 / 32);
  const near = (name: string, value: number): void =>
    assertAlmostEquals(deviations.get(name)!, value, 0.08 * value, name);
  near("model.embed_tokens.weight", expected);
  near("lm_head.weight", expected);
  near("model.layers.0.self_attn.qkv_proj.weight", expected);
  near("model.layers.1.self_attn.o_proj.weight", expected / 2);
});

Deno.test("a model frees everything, including its second halves", async () => {
  using device = await openDevice();
  const model = makeModel(device);
  {
    using tape = device.record();
    const { tokens, targets } = text("free");
    tape.backward(model.loss(device.tokens(tokens), device.tokens(targets), SEQUENCE).loss);
  }
  model[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("a model disposes of each second half once, even if a later one fails to build", async () => {
  using device = await openDevice();
  let [made, freed] = [0, 0];
  const build = (failing: number) =>
    new LanguageModel(device, {
      ...SIZES,
      layers: 3,
      feedForward: (layer): FeedForwardLayer => {
        if (layer === failing) throw new Error("on purpose");
        made++;
        return { forward: (x) => x, parameters: () => [], [Symbol.dispose]: () => void freed++ };
      },
    });
  build(-1)[Symbol.dispose]();
  assertEquals([made, freed], [3, 3]);
  assertThrows(() => build(2), Error, "on purpose");
  assertEquals([made, freed], [5, 5]);
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("an MoE model learns a sequence, bit for bit the same with the same seed", async () => {
  const train = async (): Promise<number[]> => {
    using device = await openDevice({ seed: 6 });
    using stack = new DisposableStack();
    using state = new StepState(device, { layers: 2, experts: 4 });
    using model = new LanguageModel(device, {
      ...SIZES,
      vocabulary: 11,
      feedForward: (layer) => {
        const hidden: number = SIZES.hidden;
        const shared = { hidden, experts: 4, layers: 2, state };
        const router = stack.use(new ReluRouter(device, shared));
        const moe = new MoE(device, { router, hidden, width: 32, state, layer });
        return {
          forward: (x) => moe.forward(x).output,
          parameters: () => moe.parameters(),
          [Symbol.dispose]: () => moe[Symbol.dispose](),
        };
      },
    });
    using optimizer = new AdamW(device, model.parameters(), { lr: 1e-2, state });
    const tokens = Array.from({ length: 32 }, (_, i) => (i * i) % 11);
    const targets = Array.from({ length: 32 }, (_, i) => ((i + 1) * (i + 1)) % 11);
    const losses: number[] = [];
    for (let step = 0; step < 40; step++) {
      state.begin();
      using tape = device.record();
      const { loss } = model.loss(device.tokens(tokens), device.tokens(targets), 16);
      tape.backward(loss);
      state.addLoss(loss, 1);
      optimizer.step();
      state.updateLambda({
        active: 1,
        tokens: 32,
        alpha: 1.2,
        floor: 1e-10,
        ceiling: 1e4,
        adapt: true,
      });
      losses.push(state.read().loss);
    }
    return losses;
  };
  const losses = await train();
  assert(losses.at(-1)! < 0.2 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
  assertEquals(await train(), losses);
});
