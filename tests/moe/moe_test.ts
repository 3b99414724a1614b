import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  add,
  ConfigError,
  DenseRouter,
  type Device,
  MoE,
  read,
  ReluRouter,
  ShapeMismatchError,
  StepState,
  sum,
  TopKRouter,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

/** A router with identity weights: a token's gates are its first three numbers, where positive. */
function layerOfGates(device: Device, stack: DisposableStack): MoE<4, 3> {
  const router = stack.use(new ReluRouter(device, { hidden: 4, experts: 3, balance: "none" }));
  write(router.weight, [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  return stack.use(new MoE(device, { router, hidden: 4, width: 6, deviation: 0.5 }));
}

Deno.test("a token without an expert gives exactly 0 and no gradient to experts", async () => {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const layer = layerOfGates(device, stack);
  using tape = device.record();
  const x = tape.watch(device.from([0.5, 0, 1, 2, /**/ -1, -2, -3, 4], [2, 4]));
  const { output, routing } = layer.forward(x);
  tape.backward(sum(output));
  const y = await read(output);
  assertEquals([...await read(routing.counts)], [1, 0, 1]);
  assert(y.subarray(0, 4).every((value) => value !== 0));
  assertEquals([...y.subarray(4)], [0, 0, 0, 0]);
  assertEquals([...(await read(tape.gradient(x))).subarray(4)], [0, 0, 0, 0]);
});

Deno.test("an expert without tokens gets a gradient of exactly 0", async () => {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const layer = layerOfGates(device, stack);
  const [, w1, w2] = [...layer.parameters()];
  // Previous memory contents must not show through.
  for (const parameter of [w1!, w2!]) {
    write(parameter.gradient, new Float32Array(parameter.size).fill(NaN));
    parameter.zeroGradient();
  }
  {
    using tape = device.record();
    const x = device.from([0.5, -1, 1, 2, /**/ 1, 0, -3, 4], [2, 4]);
    tape.backward(sum(layer.forward(x).output));
  }
  for (const parameter of [w1!, w2!]) {
    const gradient = await read(parameter.gradient);
    const part = gradient.length / 3;
    assert(gradient.subarray(0, part).some((value) => value !== 0));
    assert(gradient.subarray(part, 2 * part).every((value) => value === 0));
    assert(gradient.subarray(2 * part).some((value) => value !== 0));
  }
});

Deno.test("with no token routed, outputs and gradients are 0", async () => {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const layer = layerOfGates(device, stack);
  using tape = device.record();
  const x = tape.watch(device.full([5, 4], -1));
  const { output, routing } = layer.forward(x);
  tape.backward(sum(output));
  assertEquals(await routing.sparsity(), 1);
  const tensors = [output, tape.gradient(x), ...[...layer.parameters()].map((p) => p.gradient)];
  for (const tensor of tensors) assert((await read(tensor)).every((value) => value === 0));
});

Deno.test("gradients add up when a layer is used twice", async () => {
  using device = await openDevice({ seed: 5 });
  using router = new ReluRouter(device, { hidden: 8, experts: 4, balance: "none", deviation: 1 });
  using layer = new MoE(device, { router, hidden: 8, width: 8, deviation: 0.5 });
  const numbers = await read(device.normal([16, 8]));
  const gradients = async (uses: number): Promise<Float32Array[]> => {
    for (const parameter of layer.parameters()) parameter.zeroGradient();
    using tape = device.record();
    const x = tape.watch(device.from(numbers, [16, 8]));
    const outputs = Array.from({ length: uses }, () => sum(layer.forward(x).output));
    tape.backward(outputs.reduce((total, output) => add(total, output)));
    const tensors = [tape.gradient(x), ...[...layer.parameters()].map((p) => p.gradient)];
    return await Promise.all(tensors.map((tensor) => read(tensor)));
  };
  const [once, twice] = [await gradients(1), await gradients(2)];
  for (const [i, gradient] of once.entries()) {
    assertClose(twice[i]!, gradient.map((value) => 2 * value), `gradient ${i}`, 2e-6);
  }
});

Deno.test("forward() gives the same output whether or not it records", async () => {
  using device = await openDevice({ seed: 4 });
  using router = new TopKRouter(device, { hidden: 8, experts: 4, active: 2 });
  using layer = new MoE(device, { router, hidden: 8, width: 8, deviation: 0.5 });
  const x = device.normal([16, 8]);
  const recorded = await (async () => {
    using _tape = device.record();
    return await read(layer.forward(x).output);
  })();
  using _scope = device.scope();
  assertEquals(await read(layer.forward(x).output), recorded);
});

Deno.test("without a tape the pre-activations of the experts are not kept", async () => {
  using device = await openDevice();
  using router = new DenseRouter(device, { hidden: 8, experts: 4 });
  using layer = new MoE(device, { router, hidden: 8, width: 32 });
  const x = device.normal([16, 8]);
  const grownBy = (run: () => unknown): number => {
    const { inUse } = device.statistics();
    run();
    return device.statistics().inUse - inUse;
  };
  const recorded = (() => {
    using _tape = device.record();
    return grownBy(() => layer.forward(x));
  })();
  using _scope = device.scope();
  const preActivations = 4 * (16 * 4) * (2 * 32);
  assertEquals(recorded - grownBy(() => layer.forward(x)), preActivations);
});

Deno.test("parameters() yields the router's weights first, then w1 and w2", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, { hidden: 4, experts: 3, name: "layer.gate" });
  using layer = new MoE(device, { router, hidden: 4, width: 6, name: "layer.experts" });
  assertEquals(
    [...layer.parameters()].map(({ name, shape, decay }) => ({ name, shape, decay })),
    [
      { name: "layer.gate", shape: [4, 3], decay: true },
      { name: "layer.experts.w1", shape: [3, 4, 12], decay: true },
      { name: "layer.experts.w2", shape: [3, 6, 4], decay: true },
    ],
  );
});

Deno.test("the weights start with the requested deviations", async () => {
  using device = await openDevice({ seed: 9 });
  using router = new DenseRouter(device, { hidden: 48, experts: 4 });
  const deviationOf = (x: Float32Array): number =>
    Math.sqrt(x.reduce((total, value) => total + value * value, 0) / x.length);
  const deviations = async (options: { deviation?: number; outputDeviation?: number }) => {
    using layer = new MoE(device, { router, hidden: 48, width: 64, ...options });
    const [w1, w2] = [...layer.parameters()];
    return [deviationOf(await read(w1!)), deviationOf(await read(w2!))];
  };
  const assertNear = (actual: number[], expected: number[]): void =>
    actual.forEach((value, i) => assert(Math.abs(value / expected[i]! - 1) < 0.03, `${actual}`));
  // 0.01 · √(768/48) = 0.04
  assertNear(await deviations({}), [0.04, 0.04 / Math.SQRT2]);
  assertNear(await deviations({ deviation: 0.5, outputDeviation: 0.1 }), [0.5, 0.1]);
});

Deno.test("mismatched sizes are refused", async (t) => {
  using device = await openDevice();
  const hidden: number = 8;
  using router = new ReluRouter(device, { hidden, experts: 4 });
  const { inUse } = device.statistics();
  await t.step("the router's hidden size", () => {
    assertThrows(
      () => new MoE(device, { router, hidden: hidden + 1, width: 8 }),
      ConfigError,
      "hidden size 9 with a router of hidden size 8",
    );
  });
  await t.step("the experts and layers of the state", () => {
    using narrow = new StepState(device, { layers: 2, experts: 3 });
    using wide = new StepState(device, { layers: 2, experts: 4 });
    const build = (state: StepState, layer: number): unknown =>
      new MoE(device, { router, hidden, width: 8, state, layer });
    assertThrows(() => build(narrow, 0), ConfigError, "3 experts");
    assertThrows(() => build(wide, 2), ConfigError, "layer 2");
  });
  await t.step("the input", () => {
    using _scope = device.scope();
    using layer = new MoE(device, { router, hidden, width: 8 });
    assertThrows(() => layer.forward(device.zeros([3, hidden + 1])), ShapeMismatchError, "[3, 9]");
    assertThrows(
      () => router.route(device.zeros([3, hidden - 1])),
      ShapeMismatchError,
      "the states are [3, 7], expected [tokens, 8], to meet weights [8, 4]",
    );
  });
  await t.step("and nothing is left behind", () => assertEquals(device.statistics().inUse, inUse));
});
