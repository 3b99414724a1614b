import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  type Device,
  mean,
  read,
  recompute,
  ReluRouter,
  type ReluRouterOptions,
  rows,
  scale,
  StepState,
  sum,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { Random } from "../../kernels/cases/random.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { balanceWeights, reluGates, routingOf } from "../../kernels/cases/reference/router.ts";
import { openDevice } from "../tensor/open_device.ts";

const [TOKENS, HIDDEN, EXPERTS] = [12, 12, 4] as const;

Deno.test("ReluRouter's gates are ReLU(x W), and its counts are tokens with a positive gate", async () => {
  using device = await openDevice({ seed: 1 });
  using router = new ReluRouter(device, { hidden: HIDDEN, experts: EXPERTS });
  using _scope = device.scope();
  const x = device.normal([TOKENS, HIDDEN]);
  const { gates, counts } = router.route(x);
  const logits = matmul(
    Float64Array.from(await read(x)),
    Float64Array.from(await read(router.weight)),
    TOKENS,
    HIDDEN,
    EXPERTS,
  );
  const actual = await read(gates);
  assertClose(actual, reluGates(logits), "gates", 1e-6);
  assertEquals(await read(counts), routingOf(actual, EXPERTS).counts);
});

Deno.test("sparsity() and regularization() match equations 8 to 10", async () => {
  using device = await openDevice({ seed: 2 });
  for (const balance of ["none", "plain", "load"] as const) {
    using router = new ReluRouter(device, { hidden: 12, experts: 4, active: 2, balance });
    using _scope = device.scope();
    const routing = router.route(device.normal([30, 12]));
    const gates = await read(routing.gates);
    const counts = await read(routing.counts);
    const routed = counts.reduce((total, count) => total + count, 0);
    assertEquals(await routing.sparsity(), 1 - routed / 120);
    const f = balanceWeights(balance, counts, 30, 2);
    const expected = gates.reduce((total, gate, i) => total + f[i % 4]! * gate, 0) / 30;
    assertAlmostEquals(await routing.regularization(), expected, 1e-6);
  }
});

/**
 * The gradient of the logits for a loss that does not depend on the gates, so only the
 * regularisation remains. The input is the identity, so dW = dlogits element by element.
 */
async function regularizationGradient(
  device: Device,
  options: Partial<ReluRouterOptions>,
  lossScale = 0,
  share = 1,
): Promise<{ gradient: Float32Array; gates: Float32Array }> {
  using router = new ReluRouter(device, { ...options, hidden: HIDDEN, experts: EXPERTS });
  write(router.weight, new Random("router").normal(HIDDEN * EXPERTS));
  using tape = device.record();
  const identity = Array.from({ length: TOKENS * HIDDEN }, (_, i) => i % (HIDDEN + 1) ? 0 : 1);
  const { gates } = router.route(device.from(identity, [TOKENS, HIDDEN]));
  tape.backward(scale(sum(gates), lossScale), { scale: share });
  return { gradient: await read(router.weight.gradient), gates: await read(gates) };
}

for (const balance of ["none", "plain", "load"] as const) {
  Deno.test(`λ·f_e/(L·T) enters the gradient of each active gate: balance "${balance}"`, async () => {
    using device = await openDevice();
    const options = { balance, active: 2, layers: 3 };
    const without = await regularizationGradient(device, { ...options, lambda: 0 });
    assert(without.gradient.every((value) => value === 0));
    const { gradient, gates } = await regularizationGradient(
      device,
      { ...options, lambda: 1 },
      0,
      1 / 2,
    );
    const f = balanceWeights(balance, routingOf(gates, EXPERTS).counts, TOKENS, 2);
    const expected = Array.from(
      gates,
      (gate, i) => gate > 0 ? f[i % EXPERTS]! / (3 * 2 * TOKENS) : 0,
    );
    assertEquals(expected.some((value) => value > 0), balance !== "none");
    // One fp32 rounding.
    assertClose(gradient, expected, "gradient", 1e-7);
  });
}

Deno.test("the regularisation adds to the loss gradient, unaffected by the loss scale", async () => {
  using device = await openDevice();
  const lambda = 0.3;
  const { gradient, gates } = await regularizationGradient(device, { lambda, balance: "plain" }, 2);
  const expected = Array.from(gates, (gate) => gate > 0 ? 2 + lambda / TOKENS : 0);
  assertClose(gradient, expected, "gradient", 1e-6);
});

Deno.test("micro-batches add up to the full-batch gradient, recomputed or not", async () => {
  using device = await openDevice({ seed: 3 });
  const x = device.normal([TOKENS, HIDDEN]);
  const options = { hidden: HIDDEN, experts: EXPERTS, balance: "plain", lambda: 1 } as const;
  const gradient = async (microBatches: number, again: boolean): Promise<Float32Array> => {
    using router = new ReluRouter(device, options);
    write(router.weight, new Random("router").normal(HIDDEN * EXPERTS));
    for (let i = 0; i < microBatches; i++) {
      using tape = device.record();
      const part = rows(x, i * TOKENS / microBatches, (i + 1) * TOKENS / microBatches);
      const gates = (tokens: typeof part) => router.route(tokens).gates;
      const routed = again ? recompute(gates, part) : gates(part);
      tape.backward(mean(routed), { scale: 1 / microBatches });
    }
    return await read(router.weight.gradient);
  };
  const whole = await gradient(1, false);
  for (const again of [false, true]) {
    assertClose(await gradient(2, again), whole, "gradient", 1e-6);
  }
});

Deno.test("a shared state's λ takes precedence", async () => {
  using device = await openDevice();
  using state = new StepState(device, { experts: EXPERTS, lambda: 0.5 });
  const { gradient, gates } = await regularizationGradient(device, { state, balance: "plain" });
  assertClose(gradient, Array.from(gates, (g) => g > 0 ? 0.5 / TOKENS : 0), "gradient", 1e-6);
  state.setLambda(2);
  const again = await regularizationGradient(device, { state, balance: "plain" });
  assertClose(again.gradient, gradient.map((value) => 4 * value), "gradient", 1e-6);
});

Deno.test("adapt() moves λ up by α below the target, down above it, and not at it", async () => {
  using device = await openDevice();
  const make = (active: number): ReluRouter =>
    new ReluRouter(device, { hidden: 4, experts: 8, active, lambda: 1, alpha: 1.5 });
  using router = make(2);
  const target = 1 - 2 / 8;
  assertEquals(router.adapt(target - 1e-9), 1.5);
  assertEquals(router.lambda, 1.5);
  assertEquals(router.adapt(target), 1.5);
  assertEquals(router.adapt(target + 1e-9), 1);
  assertEquals(router.adapt(1), 1 / 1.5);
  assertEquals(router.adapt(0), 1);
});

Deno.test("adapt() treats an exactly met target as met, despite rounding", async () => {
  using device = await openDevice();
  for (let experts = 2; experts <= 12; experts++) {
    for (let active = 1; active < experts; active++) {
      using router = new ReluRouter(device, { hidden: 1, experts, active, lambda: 1 });
      const tokens = 7;
      const sparsity = 1 - (active * tokens) / (experts * tokens);
      assertEquals(router.adapt(sparsity), 1, `${active} of ${experts}`);
    }
  }
});

Deno.test("adapt() keeps λ within a hundredth of its start and 10⁴", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, { hidden: 4, experts: 8, lambda: 1e-3, alpha: 10 });
  for (let i = 0; i < 12; i++) router.adapt(1);
  assertEquals(router.lambda, 1e-5);
  for (let i = 0; i < 12; i++) router.adapt(0);
  assertEquals(router.lambda, 1e4);
  assertEquals(router.adapt(1), 1e3);
});

Deno.test("adapt() changes the next gradient", async () => {
  using device = await openDevice();
  using router = new ReluRouter(device, {
    hidden: 1,
    experts: 1,
    lambda: 8,
    alpha: 2,
    balance: "plain",
  });
  write(router.weight, [3]);
  const gradient = async (): Promise<number> => {
    router.weight.zeroGradient();
    using tape = device.record();
    tape.backward(scale(sum(router.route(device.ones([1, 1])).gates), 0));
    return (await read(router.weight.gradient))[0]!;
  };
  assertEquals(await gradient(), 8);
  router.adapt(1);
  assertEquals(await gradient(), 4);
});

Deno.test("an impossible number of active experts is refused", async () => {
  using device = await openDevice();
  for (const active of [0, -1, 5, NaN]) {
    assertThrows(
      () => new ReluRouter(device, { hidden: 4, experts: 4, active }),
      ConfigError,
      `${active} of 4 experts`,
    );
  }
  assertEquals(device.statistics().inUse, 0);
});
