import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  ConfigError,
  read,
  scale,
  ShapeMismatchError,
  square,
  sum,
  TopKRouter,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { Random } from "../../kernels/cases/random.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { dot, logSumExp, softmax } from "../../kernels/cases/reference/reduction.ts";
import { columnSums, routingOf } from "../../kernels/cases/reference/router.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("TopKRouter's gates are the k largest probabilities of all experts", async () => {
  using device = await openDevice({ seed: 1 });
  using router = new TopKRouter(device, { hidden: 6, experts: 5, active: 2, deviation: 1 });
  using _scope = device.scope();
  const x = device.normal([20, 6]);
  const gates = await read(router.route(x).gates);
  const weight = Float64Array.from(await read(router.weight));
  const probabilities = softmax(matmul(Float64Array.from(await read(x)), weight, 20, 6, 5), 5);
  for (let t = 0; t < 20; t++) {
    const row = [...probabilities.subarray(5 * t, 5 * t + 5)];
    const threshold = row.toSorted((a, b) => b - a)[1]!;
    const expected = row.map((p) => p >= threshold ? p : 0);
    assertClose(gates.subarray(5 * t, 5 * t + 5), expected, `gates of token ${t}`, 1e-6);
  }
});

Deno.test("TopKRouter chooses exactly k for any sizes, ties included", async () => {
  using device = await openDevice();
  const sizes = fc.integer({ min: 1, max: 40 }).chain((experts) =>
    fc.tuple(fc.constant(experts), fc.integer({ min: 1, max: experts }), fc.nat({ max: 3 }))
  );
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), async ([experts, active, levels], seed) => {
      using router = new TopKRouter(device, { hidden: 3, experts, active });
      using _scope = device.scope();
      const random = new Random(`${seed}`);
      // A few levels give many equal logits.
      const draw = (length: number): number[] =>
        Array.from({ length }, () => random.integer(levels + 1));
      write(router.weight, draw(3 * experts));
      const routing = router.route(device.from(draw(21), [7, 3]));
      const gates = await read(routing.gates);
      for (let t = 0; t < 7; t++) {
        const chosen = gates.subarray(t * experts, (t + 1) * experts).filter((gate) => gate > 0);
        assertEquals(chosen.length, active);
      }
      assertEquals(await read(routing.counts), routingOf(gates, experts).counts);
      assertAlmostEquals(await routing.sparsity(), 1 - active / experts, 1e-12);
    }),
    { numRuns: 50 },
  );
});

Deno.test("among equal probabilities the lower expert is chosen", async () => {
  using device = await openDevice();
  using router = new TopKRouter(device, { hidden: 1, experts: 5, active: 2 });
  using _scope = device.scope();
  write(router.weight, [0, 1, 0, 1, 1]);
  const gates = await read(router.route(device.from([1, 0], [2, 1])).gates);
  assertEquals([...gates.subarray(0, 5)].map((gate) => gate > 0), [
    false,
    true,
    false,
    true,
    false,
  ]);
  assertEquals([...gates.subarray(5)].map((gate) => gate > 0), [true, true, false, false, false]);
});

Deno.test("a token's renormalised gates add up to 1", async () => {
  using device = await openDevice({ seed: 2 });
  using router = new TopKRouter(device, {
    hidden: 6,
    experts: 5,
    active: 3,
    deviation: 1,
    renormalize: true,
  });
  using _scope = device.scope();
  const gates = await read(router.route(device.normal([20, 6])).gates);
  for (let t = 0; t < 20; t++) {
    const total = gates.subarray(5 * t, 5 * t + 5).reduce((sum, gate) => sum + gate, 0);
    assertAlmostEquals(total, 1, 1e-6);
  }
});

Deno.test("regularization() is Switch's balance loss without its coefficient", async () => {
  using device = await openDevice({ seed: 3 });
  using router = new TopKRouter(device, { hidden: 6, experts: 5, active: 2, deviation: 1 });
  using _scope = device.scope();
  const x = device.normal([20, 6]);
  const routing = router.route(x);
  const weight = Float64Array.from(await read(router.weight));
  const probabilities = softmax(matmul(Float64Array.from(await read(x)), weight, 20, 6, 5), 5);
  const counts = await read(routing.counts);
  // E/(k T²) Σ_e n_e Σ_t p
  const expected = 5 * dot(counts, columnSums(probabilities, 5)) / (2 * 20 ** 2);
  assertAlmostEquals(await routing.regularization(), expected, 1e-6);
});

Deno.test("the balance loss enters the gradient of every expert's probability", async () => {
  using device = await openDevice();
  const [tokens, experts, active, coefficient, share] = [6, 4, 2, 0.5, 1 / 3] as const;
  using router = new TopKRouter(device, {
    hidden: tokens,
    experts,
    active,
    balanceCoefficient: coefficient,
  });
  const logits = new Random("balance").normal(tokens * experts);
  write(router.weight, logits);
  // The input is the identity: logits = W and dW = dlogits. The loss does not depend on the gates.
  const identity = Array.from({ length: tokens ** 2 }, (_, i) => i % (tokens + 1) ? 0 : 1);
  using tape = device.record();
  const routing = router.route(device.from(identity, [tokens, tokens]));
  tape.backward(scale(sum(routing.gates), 0), { scale: share });

  const p = softmax(Float64Array.from(logits), experts);
  const counts = await read(routing.counts);
  const dp = Array.from(
    counts,
    (count) => coefficient * share / tokens * experts * count / (active * tokens),
  );
  const expected = p.map((value, i) => {
    const row = Math.floor(i / experts) * experts;
    const mean = dot(p.subarray(row, row + experts), dp);
    return value * (dp[i % experts]! - mean);
  });
  assertClose(await read(router.weight.gradient), expected, "gradient", 1e-6);
});

Deno.test("the z-loss enters the gradient of every logit", async () => {
  using device = await openDevice();
  const [tokens, experts, coefficient, share] = [6, 4, 0.5, 1 / 3] as const;
  const options = { hidden: tokens, experts, active: 2, balanceCoefficient: 0 };
  using router = new TopKRouter(device, { ...options, zCoefficient: coefficient });
  const logits = new Random("z-loss").normal(tokens * experts);
  write(router.weight, logits);
  // The input is the identity: logits = W and dW = dlogits. The loss does not depend on the gates.
  const identity = Array.from({ length: tokens ** 2 }, (_, i) => i % (tokens + 1) ? 0 : 1);
  using tape = device.record();
  const routing = router.route(device.from(identity, [tokens, tokens]));
  tape.backward(scale(sum(routing.gates), 0), { scale: share });

  // d/dlogit of coefficient/T Σ_t lse² is 2 coefficient/T lse p.
  const rows = Float64Array.from(logits);
  const expected = softmax(rows, experts).map((p, i) => {
    const row = Math.floor(i / experts) * experts;
    return 2 * coefficient * share / tokens * logSumExp(rows.subarray(row, row + experts)) * p;
  });
  assertClose(await read(router.weight.gradient), expected, "gradient", 1e-6);
});

Deno.test("a balance coefficient of 0 leaves the loss alone", async () => {
  using device = await openDevice({ seed: 4 });
  using router = new TopKRouter(device, { hidden: 6, experts: 4, balanceCoefficient: 0 });
  using tape = device.record();
  tape.backward(scale(sum(router.route(device.normal([8, 6])).gates), 0));
  assert((await read(router.weight.gradient)).every((value) => value === 0));
});

Deno.test("renormalising a single gate is refused: the router would get no gradient", async () => {
  using device = await openDevice();
  assertThrows(
    () => new TopKRouter(device, { hidden: 4, experts: 4, renormalize: true }),
    ConfigError,
    "single expert",
  );
});

Deno.test("a warmup activates more experts until its steps have been taken", async () => {
  using device = await openDevice({ seed: 5 });
  const sizes = { hidden: 6, experts: 5, deviation: 1 };
  using router = new TopKRouter(device, { ...sizes, warmup: { active: 4, steps: 3 } });
  using wide = new TopKRouter(device, { ...sizes, active: 4 });
  write(wide.weight, await read(router.weight));
  using _scope = device.scope();
  const x = device.normal([20, 6]);
  const active = async (context?: { step: number }): Promise<number> =>
    Math.round(5e6 * (1 - await router.route(x, context).sparsity())) / 1e6;
  assertEquals(await Promise.all([0, 2, 3, 9].map((step) => active({ step }))), [4, 4, 1, 1]);
  assertEquals([await active(), router.active], [1, 1]);
  // The balance loss follows the k in force.
  const [warm, constant] = [router.route(x, { step: 0 }), wide.route(x)];
  assertEquals(await read(warm.gates), await read(constant.gates));
  assertEquals(await warm.regularization(), await constant.regularization());
});

Deno.test("during the warmup the gradient is that of a router with its k", async () => {
  using device = await openDevice({ seed: 6 });
  const sizes = { hidden: 6, experts: 5, deviation: 1, balanceCoefficient: 0.5 };
  using router = new TopKRouter(device, { ...sizes, warmup: { active: 3, steps: 1 } });
  using wide = new TopKRouter(device, { ...sizes, active: 3 });
  write(wide.weight, await read(router.weight));
  const x = device.normal([20, 6]);
  for (const [each, step] of [[router, 0], [wide, 0]] as const) {
    using tape = device.record();
    tape.backward(sum(square(each.route(x, { step }).gates)));
  }
  assertEquals(await read(router.weight.gradient), await read(wide.weight.gradient));
});

Deno.test("a gate scale multiplies the gates and their gradient, not the balance loss", async () => {
  using device = await openDevice({ seed: 7 });
  const sizes = { hidden: 6, experts: 5, active: 2, deviation: 1, renormalize: true };
  const gradients: Float32Array[] = [];
  const gates: Float32Array[] = [];
  for (const gateScale of [1, 4]) {
    using router = new TopKRouter(device, { ...sizes, gateScale, balanceCoefficient: 0 });
    write(router.weight, new Random("scaled").normal(30));
    using tape = device.record();
    const routing = router.route(device.from(new Random("x").normal(60), [10, 6]));
    tape.backward(sum(square(routing.gates)));
    gates.push(await read(routing.gates));
    gradients.push(await read(router.weight.gradient));
    using same = new TopKRouter(device, { ...sizes });
    write(same.weight, await read(router.weight));
    const plain = same.route(device.from(new Random("x").normal(60), [10, 6]));
    assertEquals(await routing.regularization(), await plain.regularization());
  }
  assertEquals(gates[1], gates[0]!.map((gate) => 4 * gate));
  assertClose(gradients[1]!, Float64Array.from(gradients[0]!, (g) => 16 * g), "gradient", 1e-4);
});

Deno.test("an impossible warmup or gate scale is refused", async () => {
  using device = await openDevice();
  const sizes = { hidden: 4, experts: 4, active: 2 };
  for (const active of [1, 5, 2.5, NaN]) {
    assertThrows(
      () => new TopKRouter(device, { ...sizes, warmup: { active, steps: 1 } }),
      ConfigError,
      `warmup.active is ${active}, expected an integer from active (2) to experts (4)`,
    );
  }
  for (const steps of [-1, 0.5, Infinity]) {
    assertThrows(
      () => new TopKRouter(device, { ...sizes, warmup: { active: 4, steps } }),
      ConfigError,
      `warmup.steps is ${steps}`,
    );
  }
  assertThrows(() => new TopKRouter(device, { ...sizes, gateScale: 0 }), ConfigError, "gateScale");
});

Deno.test("an impossible k is refused", async () => {
  using device = await openDevice();
  for (const active of [0, 5, 1.5, NaN]) {
    assertThrows(
      () => new TopKRouter(device, { hidden: 4, experts: 4, active }),
      ConfigError,
      `${active} of 4 experts`,
    );
  }
});

Deno.test("TopKRouter refuses inputs of another hidden size", async () => {
  using device = await openDevice();
  const hidden: number = 4;
  using router = new TopKRouter(device, { hidden, experts: 4 });
  assertThrows(
    () => router.route(device.zeros([3, hidden + 1])),
    ShapeMismatchError,
    "the states are [3, 5], expected [tokens, 4], to meet weights [4, 4]",
  );
});
