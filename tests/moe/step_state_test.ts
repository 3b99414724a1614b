import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  type Device,
  type LambdaRule,
  MoE,
  read,
  ReluRouter,
  type Router,
  type Routing,
  StepState,
  sum,
  TopKRouter,
  write,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const RULE: LambdaRule = {
  active: 1,
  tokens: 24,
  alpha: 2,
  floor: 1e-3,
  ceiling: 1e3,
  adapt: true,
};

/** The routing of one layer on one micro-batch. */
interface Observed {
  gates: Float32Array;
  counts: Int32Array;
  regularization: number;
}

/** Runs two micro-batches of 12 tokens through two layers that share a state. */
async function runStep(
  device: Device,
  state: StepState,
  makeRouter: () => Router<6, 3>,
): Promise<Observed[][]> {
  using stack = new DisposableStack();
  const layers = [0, 1].map((layer) => {
    const router = stack.use(makeRouter());
    return stack.use(new MoE(device, { router, hidden: 6, width: 4, state, layer }));
  });
  const observe = async (routing: Routing): Promise<Observed> => ({
    gates: await read(routing.gates),
    counts: await read(routing.counts),
    regularization: await routing.regularization(),
  });
  const batches: Observed[][] = [];
  state.begin();
  for (let batch = 0; batch < 2; batch++) {
    using tape = device.record();
    const x = device.normal([12, 6]);
    const results = layers.map((layer) => layer.forward(x));
    tape.backward(sum(results[0]!.output));
    batches.push(await Promise.all(results.map(({ routing }) => observe(routing))));
  }
  return batches;
}

Deno.test("StepState adds up the routing of layers and micro-batches", async () => {
  using device = await openDevice({ seed: 1 });
  using state = new StepState(device, { layers: 2, experts: 3 });
  const batches = await runStep(
    device,
    state,
    () => new ReluRouter(device, { hidden: 6, experts: 3, active: 1 }),
  );
  state.updateLambda(RULE);
  const { layers, sparsity, activePairs, l1, overflow } = state.read();
  let [pairs, regularization] = [0, 0];
  for (const layer of [0, 1]) {
    const counts = new Float64Array(3);
    let withoutExpert = 0;
    for (const batch of batches) {
      const { gates, ...observed } = batch[layer]!;
      observed.counts.forEach((count, e) => counts[e]! += count);
      for (let t = 0; t < 12; t++) {
        if (gates.subarray(3 * t, 3 * t + 3).every((gate) => gate === 0)) withoutExpert++;
      }
      regularization += 12 * observed.regularization;
    }
    assertEquals(layers[layer], { counts, tokensWithoutExpert: withoutExpert });
    assert(withoutExpert > 0);
    pairs += counts.reduce((total, count) => total + count, 0);
  }
  assertEquals(activePairs, pairs);
  assertAlmostEquals(sparsity, 1 - pairs / (3 * 2 * 24), 1e-12);
  assertAlmostEquals(l1, regularization / (2 * 24), 1e-6 * l1);
  assertEquals(overflow, false);
});

Deno.test("StepState sums TopK's balance loss over layers and averages it over micro-batches", async () => {
  using device = await openDevice({ seed: 2 });
  using state = new StepState(device, { layers: 2, experts: 3 });
  const batches = await runStep(
    device,
    state,
    () => new TopKRouter(device, { hidden: 6, experts: 3, active: 1 }),
  );
  state.updateLambda(RULE);
  const { balance, l1, layers } = state.read();
  const losses = batches.flat().map(({ regularization }) => regularization);
  const expected = losses.reduce((total, loss) => total + loss, 0) / 2;
  assertAlmostEquals(balance, expected, 1e-6 * expected);
  assertEquals(l1, 0);
  assertEquals(layers.map(({ tokensWithoutExpert }) => tokensWithoutExpert), [0, 0]);
});

function zRouter(device: Device, zCoefficient: number): TopKRouter<6, 3> {
  return new TopKRouter(device, { hidden: 6, experts: 3, zCoefficient });
}

Deno.test("StepState sums the z-loss over layers and averages it over the tokens of a step", async () => {
  using device = await openDevice({ seed: 4 });
  using state = new StepState(device, { layers: 2, experts: 3 });
  using stack = new DisposableStack();
  const routers = [0, 1].map(() => stack.use(zRouter(device, 0.001)));
  const layers = routers.map((router, layer) =>
    stack.use(new MoE(device, { router, hidden: 6, width: 4, state, layer }))
  );
  const weights = await Promise.all(routers.map(({ weight }) => read(weight)));
  for (let step = 0; step < 2; step++) {
    state.begin();
    let expected = 0;
    // Micro-batches of different sizes: each token counts alike.
    for (const tokens of [12, 4]) {
      using _tape = device.record();
      const x = device.normal([tokens, 6], { deviation: 3 });
      for (const layer of layers) layer.forward(x);
      const rows = await read(x);
      for (const weight of weights) {
        for (let t = 0; t < tokens; t++) {
          const logits = [0, 1, 2].map((e) =>
            rows.subarray(6 * t, 6 * t + 6).reduce((sum, v, d) => sum + v * weight[3 * d + e]!, 0)
          );
          expected += Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)) ** 2 / 16;
        }
      }
    }
    assertAlmostEquals(state.read().zLoss!, expected, 1e-5 * expected);
  }
  state.begin();
  assertEquals(state.read().zLoss, null);
});

Deno.test("without a coefficient there is no z-loss to read", async () => {
  using device = await openDevice({ seed: 4 });
  using state = new StepState(device, { layers: 2, experts: 3 });
  await runStep(device, state, () => zRouter(device, 0));
  assertEquals(state.read().zLoss, null);
});

Deno.test("begin() zeroes the step's statistics and leaves λ", async () => {
  using device = await openDevice({ seed: 1 });
  using state = new StepState(device, { layers: 2, experts: 3, lambda: 0.25 });
  await runStep(device, state, () => new ReluRouter(device, { hidden: 6, experts: 3, state }));
  state.addLoss(sum(device.ones([3])), 0.5);
  state.updateLambda({ ...RULE, adapt: false });
  assert(state.read().activePairs > 0);
  assertEquals(state.read().loss, 1.5);
  state.begin();
  const { lambda, sparsity, activePairs, loss, l1, balance, layers } = state.read();
  assertEquals([sparsity, activePairs, loss, l1, balance], [0, 0, 0, 0, 0]);
  assertEquals(lambda, 0.25);
  for (const layer of layers) {
    assertEquals(layer, { counts: new Float64Array(3), tokensWithoutExpert: 0 });
  }
});

Deno.test("only recorded forward passes count", async () => {
  using device = await openDevice({ seed: 1 });
  using state = new StepState(device, { layers: 1, experts: 3 });
  using router = new ReluRouter(device, { hidden: 6, experts: 3 });
  using layer = new MoE(device, { router, hidden: 6, width: 4, state });
  state.begin();
  {
    using _scope = device.scope();
    layer.forward(device.normal([12, 6]));
  }
  {
    using _tape = device.record();
    using _pause = device.noGradient();
    layer.forward(device.normal([12, 6]));
  }
  assertEquals(state.read().layers[0]!.counts, new Float64Array(3));
});

Deno.test("addLoss() adds up the micro-batches' shares", async () => {
  using device = await openDevice();
  using state = new StepState(device);
  state.begin();
  for (const value of [1, 2, 6]) state.addLoss(device.full([], value), 1 / 3);
  assertAlmostEquals(state.read().loss, 3, 1e-12);
});

/** A one-layer state in which `routed` of 8 tokens go to the one wanted expert of two. */
async function lambdaAfter(routed: number, rule: Partial<LambdaRule>, lambda = 1): Promise<number> {
  using device = await openDevice();
  using state = new StepState(device, { layers: 1, experts: 2, lambda });
  using router = new ReluRouter(device, { hidden: 1, experts: 2, state });
  write(router.weight, [1, -1]);
  using layer = new MoE(device, { router, hidden: 1, width: 1, state });
  state.begin();
  {
    using _tape = device.record();
    // Positive inputs go to the first expert, negative ones to the second, zero to none.
    layer.forward(device.from(Array.from({ length: 8 }, (_, t) => t < routed ? 1 : 0), [8, 1]));
  }
  state.updateLambda({ ...RULE, tokens: 8, active: 0.5, ...rule });
  const { lambda: moved, activePairs } = state.read();
  assertEquals(activePairs, routed);
  return moved;
}

Deno.test("a standalone router moves λ as the device does in training", async () => {
  using device = await openDevice();
  for (const [lambda, alpha] of [[1e-8, 1.2], [0.3, 1.7], [9e3, 1.3]] as const) {
    for (const routed of [3, 4, 5]) {
      using state = new StepState(device, { experts: 2, lambda });
      using router = new ReluRouter(device, { hidden: 1, experts: 2, active: 0.5, alpha, state });
      const rule = { alpha, floor: lambda / 100, ceiling: 1e4 };
      assertEquals(router.adapt(1 - routed / 16), await lambdaAfter(routed, rule, lambda));
    }
  }
});

Deno.test("updateLambda() moves λ by integer pair counts", async (t) => {
  await t.step("up with one pair too many", async () => assertEquals(await lambdaAfter(5, {}), 2));
  await t.step("not at the target", async () => assertEquals(await lambdaAfter(4, {}), 1));
  await t.step("down below it", async () => assertEquals(await lambdaAfter(3, {}), 0.5));
  await t.step("not at all without adapt", async () => {
    assertEquals(await lambdaAfter(5, { adapt: false }), 1);
  });
  await t.step("not above the ceiling", async () => {
    assertEquals(await lambdaAfter(5, { ceiling: 1.25 }), 1.25);
  });
  await t.step("not below the floor", async () => {
    assertEquals(await lambdaAfter(3, { floor: 0.75 }), 0.75);
  });
  await t.step("in float64", async () => {
    assertEquals(await lambdaAfter(5, { alpha: 1.2, floor: 0 }, 1e-8), 1e-8 * 1.2);
    assertEquals(await lambdaAfter(3, { alpha: 1.2, floor: 0 }, 1e-8), 1e-8 / 1.2);
  });
});

Deno.test("the device's rule and the router's adapt() agree", async () => {
  using device = await openDevice();
  for (const routed of [3, 4, 5]) {
    using router = new ReluRouter(device, {
      hidden: 1,
      experts: 2,
      active: 0.5,
      lambda: 1,
      alpha: 2,
    });
    assertEquals(router.adapt(1 - routed / 16), await lambdaAfter(routed, {}));
  }
});

Deno.test("a state frees its memory", async () => {
  using device = await openDevice();
  const state = new StepState(device, { layers: 3, experts: 5 });
  assert(device.statistics().inUse > 0);
  state[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
});
