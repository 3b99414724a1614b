import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  add,
  ConfigError,
  type Device,
  MoE,
  multiply,
  read,
  scale,
  ShapeMismatchError,
  SparseMixerRouter,
  square,
  sum,
  type Tensor,
  write,
} from "../../mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import { Random } from "../../kernels/cases/random.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { randomNumbers } from "../../kernels/cases/reference/philox.ts";
import { dot, softmax } from "../../kernels/cases/reference/reduction.ts";
import { columnSums, routingOf } from "../../kernels/cases/reference/router.ts";
import { sparseMixerChoice, sparseMixerRow } from "../../kernels/cases/reference/sparsemixer.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

const TRAINING = { training: true };
const EVALUATION = { training: false };

/** A router of one hidden number whose weights are its logits for the token 1. */
function routerOf(
  device: Device,
  logits: readonly number[],
  options: { active?: number; jitter?: number; balanceCoefficient?: number } = {},
): SparseMixerRouter {
  const experts: number = logits.length;
  const router = new SparseMixerRouter(device, {
    ...{ hidden: 1 as number, experts, balanceCoefficient: 0, ...options },
  });
  write(router.weight, logits);
  return router;
}

/** The token 1, `count` times. */
function ones(device: Device, count: number): Tensor<"f32", readonly [number, number]> {
  return device.full([count, 1], 1);
}

for (const [name, context] of Object.entries({ training: TRAINING, evaluation: EVALUATION })) {
  Deno.test(`SparseMixerRouter's gates are those of the definition in ${name}`, async () => {
    using device = await openDevice({ seed: 5 });
    const [tokens, hidden, experts, active] = [200, 6, 9, 2] as const;
    const sizes = { hidden, experts, active, deviation: 1 };
    using router = new SparseMixerRouter(device, { ...sizes, jitter: 0.3 });
    using _scope = device.scope();
    const x = device.normal([tokens, hidden]);
    const { draws: operation, step } = memoryOf(device).generator;
    const gates = await read(router.route(x, context).gates);
    const count = tokens * active * (experts + 1);
    const noise = randomNumbers("uniform", count, 0, 1, { seed: 5n, operation, step });
    const weight = Float64Array.from(await read(router.weight));
    const logits = matmul(Float64Array.from(await read(x)), weight, tokens, hidden, experts);
    let clear = 0;
    for (let t = 0; t < tokens; t++) {
      const columns = count / tokens;
      const row = sparseMixerRow(
        logits.subarray(t * experts, (t + 1) * experts),
        context.training ? noise.subarray(t * columns, (t + 1) * columns) : null,
        active,
        0.3,
      );
      if (row.margin < 1e-5) continue;
      clear++;
      const expected = new Float64Array(experts);
      row.order.forEach((e, i) => expected[e] = row.probabilities[i]! * row.factors[i]!);
      assertClose(
        gates.subarray(t * experts, (t + 1) * experts),
        [...expected],
        `token ${t}`,
        1e-5,
      );
    }
    assert(clear > 0.9 * tokens);
    assertEquals(memoryOf(device).generator.draws - operation, context.training ? 1 : 0);
  });
}

Deno.test("experts are drawn as often as p says, and gates have Heun's factor", async () => {
  using device = await openDevice({ seed: 6 });
  const logits = [0.3, -0.2, 0.9, 0.5, -1, 0];
  using router = routerOf(device, logits, { jitter: 1 });
  using _scope = device.scope();
  const tokens = 40_000;
  const { gates, counts } = router.route(ones(device, tokens), TRAINING);
  const p = softmax(Float64Array.from(logits), 6);
  const drawn = [...await read(counts)];
  const chiSquare = drawn.reduce((total, n, e) => total + (n - tokens * p[e]!) ** 2 / p[e]!, 0);
  // 5 degrees of freedom: 25.7 is exceeded once in 10,000 seeds.
  assert(chiSquare / tokens < 25.7, `chi-square is ${chiSquare / tokens}`);
  let [whole, others] = [0, 0];
  const values = await read(gates);
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue;
    const factor = values[i]! / p[i % 6]!;
    const isWhole = Math.abs(factor - 1) < 1e-5;
    assert(isWhole || Math.abs(factor - 1 / 3) < 1e-5, `the factor is ${factor}`);
    if (i % 6 === 2) assert(isWhole, "the largest logit's gate is p");
    else [whole, others] = [whole + Number(isWhole), others + 1];
  }
  // E[h] = 1/4 + 3/4 · 1/3 = 1/2 where the largest logit was not drawn.
  const mean = (whole + (others - whole) / 3) / others;
  const deviation = 2 / 3 * Math.sqrt(0.25 * 0.75 / others);
  assert(Math.abs(mean - 0.5) < 4 * deviation, `E[h] is ${mean}`);
});

Deno.test("the second choice is drawn among the experts that are left", async () => {
  using device = await openDevice({ seed: 7 });
  const logits = [0.4, 1, -0.3, 0.6];
  using router = routerOf(device, logits, { active: 2, jitter: 0.4 });
  using _scope = device.scope();
  const tokens = 30_000;
  const drawn = [...await read(router.route(ones(device, tokens), TRAINING).counts)];
  const expected = new Float64Array(4);
  const first = sparseMixerChoice(logits, [], 0.4).probabilities;
  for (const [i, p] of first.entries()) {
    expected[i]! += p;
    if (p === 0) continue;
    sparseMixerChoice(logits, [i], 0.4).probabilities.forEach((q, j) => expected[j]! += p * q);
  }
  assert(expected.some((share, e) => share < 1 && first[e] === 0), "the mask matters");
  drawn.forEach((count, e) => {
    const share = expected[e]!;
    const deviation = Math.sqrt(tokens * share * (1 - share)) + 1e-9;
    assert(Math.abs(count - tokens * share) < 4.5 * deviation, `expert ${e}: ${count}`);
  });
});

/**
 * The losses a z + b z² + c z³ of the gates z. The factor is always 1 for the largest logit, whose
 * loss therefore has to be linear for the estimator to be exact.
 */
const LOSSES = [[0.8, -1.5, 2], [-0.4, 0.7, -3], [1.1, 0, 0], [0.5, 2, 1]] as const;

Deno.test("the estimator's mean is the gradient of drawing, for losses cubic in the gates", async () => {
  using device = await openDevice({ seed: 8 });
  const logits = [0.3, -0.2, 0.9, 0.5];
  using router = routerOf(device, logits, { jitter: 1 });
  const tokens = 200_000;
  {
    using tape = device.record();
    const { gates } = router.route(ones(device, tokens));
    const [a, b, c] = [0, 1, 2].map((power) => device.from(LOSSES.map((row) => row[power]!), [4]));
    const squares = square(gates);
    const powers = [gates, squares, multiply(squares, gates)] as const;
    const [first, second, third] = [a!, b!, c!].map((each, i) => multiply(powers[i]!, each));
    tape.backward(sum(add(add(first!, second!), third!)));
  }
  const mean = [...await read(router.weight.gradient)].map((value) => value / tokens);
  const p = softmax(Float64Array.from(logits), 4);
  for (let j = 0; j < 4; j++) {
    const slope = (i: number): number => p[i]! * (Number(i === j) - p[j]!);
    // Σ_i (L_i(p_i) - L_i(0)) ∂p_i/∂s_j: how the expected loss changes with the probabilities.
    const exact = LOSSES.reduce((total, [a, b, c], i) => {
      const z = p[i]!;
      return total + (a * z + b * z ** 2 + c * z ** 3) * slope(i);
    }, 0);
    const moments = LOSSES.reduce((total, [a, b, c], i) => {
      const value = (z: number): number => (a + 2 * b * z + 3 * c * z ** 2) * slope(i);
      const [whole, third] = [value(p[i]!) ** 2, value(p[i]! / 3) ** 2];
      return total + p[i]! * (i === 2 ? whole : whole / 4 + 3 * third / 4);
    }, 0);
    const error = Math.sqrt((moments - exact ** 2) / tokens);
    assert(Math.abs(mean[j]! - exact) < 4 * error, `logit ${j}: ${mean[j]}, expected ${exact}`);
    assert(Math.abs(exact) > 10 * error, "the test could tell");
  }
});

Deno.test("the balance loss enters the gradient through the softmax of all logits", async () => {
  using device = await openDevice({ seed: 9 });
  const [tokens, experts, active, coefficient, share] = [6, 4, 2, 0.5, 1 / 3] as const;
  const options = { hidden: tokens, experts, active, balanceCoefficient: coefficient };
  using router = new SparseMixerRouter(device, options);
  const logits = new Random("balance").normal(tokens * experts);
  write(router.weight, logits);
  // The input is the identity: logits = W and dW = dlogits. The loss does not depend on the gates.
  const identity = Array.from({ length: tokens ** 2 }, (_, i) => i % (tokens + 1) ? 0 : 1);
  using tape = device.record();
  const routing = router.route(device.from(identity, [tokens, tokens]));
  const counts = await read(routing.counts);
  const p = softmax(Float64Array.from(logits), experts);
  // E/(k T²) Σ_e n_e Σ_t p
  const loss = experts * dot(counts, columnSums(p, experts)) / (active * tokens ** 2);
  assertAlmostEquals(await routing.regularization(), loss, 1e-6);
  tape.backward(scale(sum(routing.gates), 0), { scale: share });
  const dp = Array.from(counts, (n) => coefficient * share * experts * n / (active * tokens ** 2));
  const expected = p.map((value, i) => {
    const row = Math.floor(i / experts) * experts;
    return value * (dp[i % experts]! - dot(p.subarray(row, row + experts), dp));
  });
  assertClose(await read(router.weight.gradient), expected, "gradient", 1e-6);
});

Deno.test("SparseMixerRouter chooses exactly k for any sizes, ties included", async () => {
  using device = await openDevice();
  const sizes = fc.integer({ min: 1, max: 130 }).chain((experts) =>
    fc.tuple(fc.constant(experts), fc.integer({ min: 1, max: experts }), fc.nat({ max: 3 }))
  );
  const jitters = fc.constantFrom(1e-6, 0.1, 1, 100);
  await fc.assert(
    fc.asyncProperty(
      sizes,
      jitters,
      fc.boolean(),
      fc.nat(),
      async (given, jitter, training, seed) => {
        const [experts, active, levels] = given;
        const random = new Random(`${seed}`);
        // A few levels give many equal logits.
        const draw = (length: number): number[] =>
          Array.from({ length }, () => random.integer(levels + 1) - 1);
        using router = new SparseMixerRouter(device, { hidden: 3, experts, active, jitter });
        using _scope = device.scope();
        write(router.weight, draw(3 * experts));
        const routing = router.route(device.from(draw(21), [7, 3]), { training });
        const gates = await read(routing.gates);
        for (let t = 0; t < 7; t++) {
          const chosen = gates.subarray(t * experts, (t + 1) * experts).filter((gate) => gate > 0);
          assertEquals(chosen.length, active);
        }
        assertEquals(await read(routing.counts), routingOf(gates, experts).counts);
        assertAlmostEquals(await routing.sparsity(), 1 - active / experts, 1e-12);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("one expert routes like a dense layer, with a gate of 1 and no gradient", async () => {
  using device = await openDevice({ seed: 1 });
  using router = new SparseMixerRouter(device, { hidden: 6, experts: 1 });
  using tape = device.record();
  const { gates } = router.route(device.normal([9, 6]));
  assert((await read(gates)).every((gate) => gate === 1));
  tape.backward(sum(gates));
  assert((await read(router.weight.gradient)).every((value) => value === 0));
});

Deno.test("the draws and the gradient are the same bit for bit for one seed and step", async () => {
  const run = async (seed: number, step: number): Promise<string> => {
    using device = await openDevice({ seed: 1 });
    using router = new SparseMixerRouter(device, { hidden: 6, experts: 5, active: 2, jitter: 1 });
    using layer = new MoE(device, { router, hidden: 6, width: 4 });
    const x = device.normal([300, 6]);
    const generator = { seed: BigInt(seed), step, draws: 0 };
    using tape = device.record();
    const { output, routing } = memoryOf(device).drawingFrom(generator, () => layer.forward(x));
    tape.backward(sum(square(output)));
    return [await read(routing.gates), await read(router.weight.gradient)].join();
  };
  assertEquals(await run(1, 2), await run(1, 2));
  assert(await run(1, 2) !== await run(1, 3));
  assert(await run(1, 2) !== await run(2, 2));
});

Deno.test("a nonfinite logit shows in the gates, and k experts are still chosen", async () => {
  using device = await openDevice({ seed: 1 });
  for (const logits of [[NaN, 1, 2], [1, Infinity, 2], [-Infinity, -Infinity, -Infinity]]) {
    for (const training of [true, false]) {
      using router = routerOf(device, [0, 0, 0], { active: 2, jitter: 1 });
      using _scope = device.scope();
      write(router.weight, logits);
      const { gates, counts } = router.route(ones(device, 4), { training });
      assertEquals((await read(counts)).reduce((total, n) => total + n, 0), 8, `${logits}`);
      assert((await read(gates)).some((gate) => Number.isNaN(gate)), `${logits}`);
    }
  }
});

Deno.test("SparseMixerRouter refuses an impossible k, a jitter of 0 and other hidden sizes", async () => {
  using device = await openDevice();
  const hidden: number = 4;
  for (const active of [0, 5, 1.5, NaN]) {
    assertThrows(
      () => new SparseMixerRouter(device, { hidden, experts: 4, active }),
      ConfigError,
      `${active} of 4 experts`,
    );
  }
  for (const jitter of [0, -1, NaN, Infinity]) {
    assertThrows(
      () => new SparseMixerRouter(device, { hidden, experts: 4, jitter }),
      ConfigError,
      "jitter",
    );
  }
  using router = new SparseMixerRouter(device, { hidden, experts: 4 });
  assertThrows(
    () => router.route(device.zeros([3, hidden + 1])),
    ShapeMismatchError,
    "the states are [3, 5], expected [tokens, 4], to meet weights [4, 4]",
  );
});
