import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  ConfigError,
  mean,
  MoE,
  read,
  ShapeMismatchError,
  SigmoidRouter,
  square,
  sum,
  TopKRouter,
  write,
} from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { routingOf, sigmoidGates } from "../../kernels/cases/reference/router.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";
import { contextOf } from "./context.ts";

/** Writes biases as training would leave them. */
function setBias(router: SigmoidRouter, values: readonly number[]): void {
  write(router.bias, values);
}

Deno.test("SigmoidRouter chooses by score and bias, and gates by the score alone", async () => {
  using device = await openDevice({ seed: 1 });
  for (const [active, normalize, gateScale] of [[1, false, 1], [2, true, 2.5], [3, false, 8]]) {
    const options = { hidden: 6, experts: 5, active, normalize, gateScale, deviation: 1 };
    using router = new SigmoidRouter(device, options as { hidden: number; experts: number });
    const bias = [0.3, -0.2, 0, 0.1, -0.4];
    setBias(router, bias);
    using _scope = device.scope();
    const x = device.normal([20, 6]);
    const routing = router.route(x);
    const weight = Float64Array.from(await read(router.weight));
    const logits = matmul(Float64Array.from(await read(x)), weight, 20, 6, 5);
    const stored = await read(router.bias);
    const { gates, chosen } = sigmoidGates(logits, stored, active as number, normalize as boolean);
    const expected = gates.map((gate) => gate * (gateScale as number));
    assertClose(await read(routing.gates), expected, `k = ${active}`, 1e-5);
    assertEquals(await read(routing.counts), routingOf(chosen, 5).counts);
    assertEquals(await routing.regularization(), 0);
  }
});

Deno.test("SigmoidRouter chooses exactly k for any sizes, ties included", async () => {
  using device = await openDevice();
  const sizes = fc.integer({ min: 1, max: 128 }).chain((experts) =>
    fc.tuple(fc.constant(experts), fc.integer({ min: 1, max: experts }), fc.nat({ max: 3 }))
  );
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), async ([experts, active, levels], seed) => {
      using router = new SigmoidRouter(device, { hidden: 3, experts, active });
      using _scope = device.scope();
      const random = new Random(`${seed}`);
      const draw = (length: number): number[] =>
        Array.from({ length }, () => random.integer(levels + 1));
      write(router.weight, draw(3 * experts));
      setBias(router, draw(experts));
      const routing = router.route(device.from(draw(21), [7, 3]));
      const gates = await read(routing.gates);
      for (let t = 0; t < 7; t++) {
        const row = gates.subarray(t * experts, (t + 1) * experts);
        assertEquals(row.filter((gate) => gate > 0).length, active);
      }
      assertEquals(await routing.sparsity(), 1 - active / experts);
    }),
    { numRuns: 50 },
  );
});

Deno.test("without biases, a single expert is the one that TopK chooses", async () => {
  using device = await openDevice({ seed: 3 });
  const sizes = { hidden: 8, experts: 6 };
  using sigmoid = new SigmoidRouter(device, sizes);
  using topk = new TopKRouter(device, sizes);
  using _scope = device.scope();
  write(topk.weight, await read(sigmoid.weight));
  const x = device.normal([50, 8]);
  const [a, b] = [await read(sigmoid.route(x).gates), await read(topk.route(x).gates)];
  assertEquals([...a].map((gate) => gate > 0), [...b].map((gate) => gate > 0));
});

Deno.test("the router's weights get the gradient of the chosen scores, and the biases none", async () => {
  using device = await openDevice({ seed: 4 });
  const [tokens, experts] = [6, 4];
  for (const [active, normalize] of [[1, false], [2, true], [2, false]] as const) {
    const options = { hidden: tokens, experts, active, normalize, gateScale: 3 };
    using router = new SigmoidRouter(device, options);
    const logits = new Random(`sigmoid ${active}`).normal(tokens * experts);
    write(router.weight, logits);
    setBias(router, [0.5, -0.5, 0.1, 0]);
    const bias = await read(router.bias);
    // The input is the identity: logits = W and dW = dlogits.
    const identity = Array.from({ length: tokens ** 2 }, (_, i) => i % (tokens + 1) ? 0 : 1);
    using tape = device.record();
    tape.backward(sum(square(router.route(device.from(identity, [tokens, tokens])).gates)));
    const loss = (values: Float64Array): number =>
      sigmoidGates(values, bias, active, normalize).gates
        .reduce((total, gate) => total + (3 * gate) ** 2, 0);
    const expected = Float64Array.from(logits, (_, i) => {
      const moved = (by: number) => Float64Array.from(logits, (l, j) => j === i ? l + by : l);
      return (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5;
    });
    assertClose(await read(router.weight.gradient), expected, `k = ${active}`, 1e-4);
    assertEquals(await read(router.bias.gradient), new Float32Array(experts));
    assertEquals([...router.parameters()].includes(router.bias), false);
  }
});

Deno.test("afterStep() moves biases against the load until it is even", async () => {
  using device = await openDevice({ seed: 5 });
  const sizes = { hidden: 8, experts: 8, active: 2 };
  using router = new SigmoidRouter(device, { ...sizes, deviation: 0.3, biasRate: 0.002 });
  const x = device.normal([512, 8], { mean: 1 });
  const load = async (): Promise<number[]> => {
    using _scope = device.scope();
    return [...await read(router.route(x).counts)];
  };
  const before = await load();
  for (let step = 0; step < 300; step++) router.afterStep(await load());
  const after = await load();
  assert(Math.max(...before) > 2 * 128, `${before}`);
  assert(Math.max(...after) < 1.1 * 128 && Math.min(...after) > 0.9 * 128, `${after}`);
});

Deno.test("afterStep() follows sign(mean - count) and refuses other counts", async () => {
  using device = await openDevice();
  using router = new SigmoidRouter(device, { hidden: 2, experts: 3, biasRate: 0.25 });
  router.afterStep([9, 6, 3]);
  router.afterStep([9, 9, 0]);
  assertEquals([...await read(router.bias)], [-0.5, -0.25, 0.5]);
  router.afterStep([4, 4, 4]);
  router.afterStep([0, 0, 0]);
  assertEquals([...await read(router.bias)], [-0.5, -0.25, 0.5]);
  for (const counts of [[1, 2], [1, 2, 3, 4], [1, 2, -3], [1, 2, 0.5], [1, 2, NaN]]) {
    assertThrows(() => router.afterStep(counts), RangeError, "Cannot move the biases");
  }
});

Deno.test("a bias keeps an expert empty or gives it every token", async () => {
  using device = await openDevice({ seed: 6 });
  using router = new SigmoidRouter(device, { hidden: 4, experts: 3 });
  using layer = new MoE(device, { router, hidden: 4, width: 3 });
  setBias(router, [2, 0, -2]);
  const x = device.normal([9, 4]);
  using tape = device.record();
  const { output, routing } = layer.forward(x, contextOf(device, 9));
  assertEquals([...await read(routing.counts)], [9, 0, 0]);
  tape.backward(mean(square(output)));
  assert((await read(router.weight.gradient)).every(Number.isFinite));
});

Deno.test("one expert per token keeps its score by default, several add up to the gate scale", async () => {
  using device = await openDevice({ seed: 7 });
  const sizes = { hidden: 4, experts: 6 };
  using one = new SigmoidRouter(device, sizes);
  using three = new SigmoidRouter(device, { ...sizes, active: 3, gateScale: 2.5 });
  using _scope = device.scope();
  const x = device.normal([10, 4]);
  assert((await read(one.route(x).gates)).every((gate) => gate < 0.9));
  const gates = await read(three.route(x).gates);
  for (let t = 0; t < 10; t++) {
    const total = gates.subarray(6 * t, 6 * t + 6).reduce((all, gate) => all + gate, 0);
    assertClose([total], [2.5], `token ${t}`, 1e-5);
  }
});

Deno.test("SigmoidRouter refuses impossible settings", async () => {
  using device = await openDevice();
  const sizes = { hidden: 4, experts: 4 };
  for (const active of [0, 5, 1.5, NaN]) {
    assertThrows(() => new SigmoidRouter(device, { ...sizes, active }), ConfigError);
  }
  for (const wrong of [{ normalize: true }, { biasRate: -1 }, { gateScale: 0 }]) {
    assertThrows(() => new SigmoidRouter(device, { ...sizes, ...wrong }), ConfigError);
  }
  const hidden: number = 4;
  using router = new SigmoidRouter(device, { hidden, experts: 4 });
  assertThrows(() => router.route(device.zeros([3, 5])), ShapeMismatchError, "[3, 5]");
});
