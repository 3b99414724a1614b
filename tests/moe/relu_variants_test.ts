/** The ReLU router's activations, stronger balancing, guard against dead experts, and λ's control. */

import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  type Device,
  type LambdaRule,
  read,
  ReluRouter,
  type ReluRouterOptions,
  scale,
  StepState,
  sum,
  write,
} from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import {
  activatedGates,
  balanceWeights,
  columnSums,
  routingOf,
} from "../../kernels/cases/reference/router.ts";
import { transportWeights } from "../../kernels/cases/reference/transport.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

const [TOKENS, HIDDEN, EXPERTS] = [12, 12, 4] as const;
const NAMES = { relu: "relu", "relu-squared": "reluSquared", tanh: "tanh" } as const;

/** The logits are the weights: the input is the identity, so dW = dlogits element by element. */
async function routeIdentity(
  device: Device,
  options: Partial<ReluRouterOptions>,
  logits: ArrayLike<number> = new Random("router").normal(HIDDEN * EXPERTS),
  lossScale = 0,
): Promise<{ gradient: Float32Array; gates: Float32Array; regularization: number }> {
  using router = new ReluRouter(device, { ...options, hidden: HIDDEN, experts: EXPERTS });
  write(router.weight, Float32Array.from(logits));
  using tape = device.record();
  const identity = Array.from({ length: TOKENS * HIDDEN }, (_, i) => i % (HIDDEN + 1) ? 0 : 1);
  const routing = router.route(device.from(identity, [TOKENS, HIDDEN]));
  tape.backward(scale(sum(routing.gates), lossScale));
  return {
    gradient: await read(router.weight.gradient),
    gates: await read(routing.gates),
    regularization: await routing.regularization(),
  };
}

for (const [activation, reference] of Object.entries(NAMES) as [keyof typeof NAMES, "relu"][]) {
  Deno.test(`${activation}: gates are the activation's, and closed where ReLU's are`, async () => {
    using device = await openDevice({ seed: 1 });
    using router = new ReluRouter(device, { hidden: HIDDEN, experts: EXPERTS, activation });
    using _scope = device.scope();
    const x = device.normal([TOKENS, HIDDEN]);
    const { gates, counts } = router.route(x);
    const [inputs, weights] = [await read(x), await read(router.weight)];
    const logits = matmul(
      Float64Array.from(inputs),
      Float64Array.from(weights),
      TOKENS,
      HIDDEN,
      EXPERTS,
    );
    assertClose(await read(gates), activatedGates(reference, logits), "gates", 1e-6);
    assertEquals(await read(counts), routingOf(activatedGates("relu", logits), EXPERTS).counts);
  });

  Deno.test(`${activation}: finite differences of the loss and the L1 term`, async () => {
    using device = await openDevice();
    const logits = new Random("logits").normal(HIDDEN * EXPERTS);
    const options = { activation, balance: "plain", lambda: 3 } as const;
    const { gradient } = await routeIdentity(device, options, logits, 2);
    const loss = (z: Float64Array): number =>
      (2 + 3 / TOKENS) * activatedGates(reference, z).reduce((total, gate) => total + gate, 0);
    const h = 1e-5;
    const expected = Array.from(logits, (_, i) => {
      const [above, below] = [h, -h].map((step) => {
        const moved = Float64Array.from(logits);
        moved[i]! += step;
        return loss(moved);
      }) as [number, number];
      return (above - below) / (2 * h);
    });
    assertClose(gradient, expected, "gradient", 1e-5);
  });
}

Deno.test("load-squared weights the experts by the square of equation 10's share", async () => {
  using device = await openDevice();
  const options = { balance: "load-squared", active: 2, lambda: 1 } as const;
  const { gradient, gates, regularization } = await routeIdentity(device, options);
  const f = balanceWeights("load", routingOf(gates, EXPERTS).counts, TOKENS, 2);
  const expected = Array.from(gates, (gate, i) => gate > 0 ? f[i % EXPERTS]! ** 2 / TOKENS : 0);
  assertClose(gradient, expected, "gradient", 1e-6);
  const sums = columnSums(gates, EXPERTS);
  const term = sums.reduce((total, each, e) => total + f[e]! ** 2 * each, 0) / TOKENS;
  assertAlmostEquals(regularization, term, 1e-6 * term);
});

Deno.test("transport weights the experts by their price", async () => {
  using device = await openDevice();
  const { gradient, gates, regularization } = await routeIdentity(
    device,
    { balance: "transport", lambda: 1 },
  );
  const f = transportWeights(Float64Array.from(gates), EXPERTS, 4, 8);
  assert(Math.max(...f) > 1.1 * Math.min(...f));
  const expected = Array.from(gates, (gate, i) => gate > 0 ? f[i % EXPERTS]! / TOKENS : 0);
  assertClose(gradient, expected, "gradient", 1e-6);
  const term = columnSums(gates, EXPERTS).reduce((total, each, e) => total + f[e]! * each, 0);
  assertAlmostEquals(regularization, term / TOKENS, 1e-6 * term);
});

Deno.test("transport prices fall with the load, and balanced experts all cost 1", async () => {
  using device = await openDevice();
  const priced = async (owners: (token: number) => number): Promise<number[]> => {
    const logits = Array.from(
      { length: HIDDEN * EXPERTS },
      (_, i) => owners(Math.floor(i / EXPERTS)) === i % EXPERTS ? 1 : -1,
    );
    const options = { balance: "transport", lambda: TOKENS } as const;
    const { gradient } = await routeIdentity(device, options, logits);
    return Array.from(
      { length: EXPERTS },
      (_, e) => Math.max(...gradient.filter((_, i) => i % EXPERTS === e)),
    );
  };
  for (const price of await priced((t) => t % EXPERTS)) assertAlmostEquals(price, 1, 1e-6);
  // Tokens per expert: 6, 3, 2, 1.
  const prices = await priced((t) => t < 6 ? 0 : t < 9 ? 1 : t < 11 ? 2 : 3);
  assertEquals([...prices].sort((a, b) => b - a), prices);
  assert(prices[0]! > 2 * prices[3]!);
});

Deno.test("revive pulls at every logit of an expert without tokens, and at no other", async () => {
  using device = await openDevice();
  const logits = new Random("dead").normal(HIDDEN * EXPERTS);
  for (let i = 1; i < logits.length; i += EXPERTS) logits[i] = -Math.abs(logits[i]!);
  const options = { balance: "load", active: 2, lambda: 1, layers: 3 } as const;
  const without = await routeIdentity(device, options, logits);
  const { gradient } = await routeIdentity(device, { ...options, revive: 0.5 }, logits);
  const expected = without.gradient.map((value, i) =>
    i % EXPERTS === 1 ? -0.5 / (3 * TOKENS) : value
  );
  assertClose(gradient, expected, "gradient", 1e-7);
  assert(without.gradient.every((value, i) => i % EXPERTS !== 1 || value === 0));
});

Deno.test("revive reopens a router that has closed for good", async () => {
  using device = await openDevice({ seed: 4 });
  for (const revive of [0, 1]) {
    using router = new ReluRouter(device, { hidden: HIDDEN, experts: EXPERTS, revive });
    write(router.weight, new Float32Array(HIDDEN * EXPERTS).fill(-0.1));
    const counts: number[] = [];
    for (let step = 0; step < 30; step++) {
      using tape = device.record();
      const routing = router.route(device.normal([64, HIDDEN], { mean: 1 }));
      counts.push((await read(routing.counts)).reduce((total, count) => total + count, 0));
      tape.backward(sum(routing.gates));
      const [weight, gradient] = [await read(router.weight), await read(router.weight.gradient)];
      write(router.weight, weight.map((value, i) => value - 0.01 * gradient[i]!));
      write(router.weight.gradient, new Float32Array(HIDDEN * EXPERTS));
    }
    assertEquals(counts[0], 0);
    assertEquals(counts.some((count) => count > 0), revive > 0);
  }
});

/** A state whose only layer has routed nothing, updated by a rule. */
function updated(state: StepState, rule: Partial<LambdaRule>): number {
  state.updateLambda({
    ...{ active: 1, tokens: 64, alpha: 1.5, floor: 1e-10, ceiling: 1e4, adapt: true },
    ...rule,
  });
  return state.lambda;
}

Deno.test("proportional control: log λ moves by gain and damping, at most by log α", async () => {
  using device = await openDevice();
  // Nothing is routed, so the excess is -1.
  const rule = { rule: "proportional", gain: 0.1, damping: 0.2 } as const;
  using state = new StepState(device, { experts: 4, lambda: 1 });
  assertAlmostEquals(updated(state, rule), Math.exp(-0.3), 1e-12);
  // The excess is the same as before, so nothing is damped.
  assertAlmostEquals(updated(state, rule), Math.exp(-0.4), 1e-12);
  assertAlmostEquals(updated(state, { ...rule, gain: 9 }), Math.exp(-0.4) / 1.5, 1e-12);
  state.setLambda(1e-10);
  assertEquals(updated(state, rule), 1e-10);
  assertEquals(updated(state, { ...rule, adapt: false }), 1e-10);
});

Deno.test("a standalone router controls λ as the device does in training", async () => {
  using device = await openDevice();
  const shape = { rule: "proportional", gain: 0.2, damping: 0.3 } as const;
  using state = new StepState(device, { experts: 4, lambda: 0.1 });
  using router = new ReluRouter(device, {
    hidden: 2,
    experts: 4,
    alpha: 1.5,
    lambda: 0.1,
    ...shape,
  });
  for (let step = 0; step < 4; step++) {
    const floor = 0.1 / 100;
    assertAlmostEquals(router.adapt(1), updated(state, { ...shape, floor }), 1e-15);
  }
  const before = router.lambda;
  assert(router.adapt(0.5) > before);
  // At the target the excess is 0, and only its change is damped.
  const risen = router.lambda;
  assert(router.adapt(0.75) < risen);
  const rested = router.lambda;
  assertAlmostEquals(router.adapt(0.75), rested, 1e-12);
});

Deno.test("settings out of range are refused", async () => {
  using device = await openDevice();
  const make = (options: Record<string, unknown>): ReluRouter =>
    new ReluRouter(device, { hidden: 2, experts: 2, ...options });
  assertThrows(() => make({ activation: "gelu" }), TypeError, 'activation is "gelu"');
  assertThrows(() => make({ balance: "fair" }), TypeError, 'balance is "fair"');
  assertThrows(() => make({ rule: "derivative" }), TypeError, 'rule is "derivative"');
  for (const name of ["revive", "gain", "damping"]) {
    assertThrows(() => make({ [name]: -1 }), ConfigError, `${name} is -1`);
  }
});
