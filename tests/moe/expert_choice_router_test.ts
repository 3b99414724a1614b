import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import * as fc from "fast-check";
import {
  ConfigError,
  ExpertChoiceRouter,
  LanguageModel,
  MoE,
  multiply,
  read,
  ShapeMismatchError,
  sum,
  type Tensor,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { Random } from "../../kernels/cases/random.ts";
import { expertChoiceGates } from "../../kernels/cases/reference/expert_choice.ts";
import { routingOf } from "../../kernels/cases/reference/router.ts";
import { expertShare } from "../../lib/moe/expert_share.ts";
import { openDevice } from "../tensor/open_device.ts";

/** The identity: the logits of its rows are the router's weights. */
function identity(size: number): number[] {
  return Array.from({ length: size ** 2 }, (_, i) => i % (size + 1) ? 0 : 1);
}

Deno.test("every expert takes its share of each group, ties included, for any sizes", async () => {
  using device = await openDevice();
  const sizes = fc.record({
    experts: fc.integer({ min: 1, max: 128 }),
    sequence: fc.integer({ min: 1, max: 12 }),
    count: fc.integer({ min: 1, max: 4 }),
    thousandths: fc.integer({ min: 50, max: 1000 }),
    group: fc.constantFrom("batch" as const, "sequence" as const),
    levels: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(
      sizes,
      async ({ experts, sequence, count, thousandths, group, levels, seed }) => {
        const tokens = sequence * count;
        const active = thousandths / 1000 * experts;
        using router = new ExpertChoiceRouter(device, { hidden: tokens, experts, active, group });
        using _scope = device.scope();
        const random = new Random(`${seed}`);
        // Few levels give many equal probabilities; a single one makes all equal.
        const logits = Array.from({ length: tokens * experts }, () => random.integer(levels));
        write(router.weight, logits);
        const x = device.from(identity(tokens), [tokens, tokens]);
        const routing = router.route(x, { sequence });
        const size = group === "batch" ? tokens : sequence;
        const capacity = Math.max(1, Math.floor(size * thousandths / 1000));
        const counts = Array<number>(experts).fill(capacity * tokens / size);
        assertEquals([...await read(routing.counts)], counts);
        const gates = await read(routing.gates);
        assertEquals([...routingOf(gates, experts).counts], counts);
        if (levels > 1) return; // Sums of several are rounded, which may break ties either way.
        const expected = expertChoiceGates(
          Float64Array.from(logits),
          experts,
          { group: size, capacity },
        );
        assertClose(gates, expected.gates, "gates", 1e-6);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a share is the whole part of the exact product, whatever rounding makes of it", () => {
  // Hundredths of capacity: the exact quotient is one of whole numbers.
  const sizes = fc.record({
    tokens: fc.integer({ min: 1, max: 1 << 20 }),
    experts: fc.integer({ min: 1, max: 1024 }),
    active: fc.integer({ min: 1, max: 64 }),
    hundredths: fc.integer({ min: 1, max: 400 }),
  }).filter(({ experts, active, hundredths }) => hundredths * active <= 100 * experts);
  fc.assert(
    fc.property(sizes, ({ tokens, experts, active, hundredths }) => {
      const [over, under] = [tokens * hundredths * active, 100 * experts];
      const expected = Math.max(1, (over - over % under) / under);
      assertEquals(expertShare(tokens, hundredths / 100 * active / experts), expected);
    }),
    { numRuns: 20_000 },
  );
  // Thirds of a capacity: neither number is a double.
  assertEquals(expertShare(300, 4 / 3 / 4), 100);
});

Deno.test("an expert's share survives rounding: 90 tokens of capacity 1.4 over 2 experts are 63", async () => {
  using device = await openDevice({ seed: 8 });
  using router = new ExpertChoiceRouter(device, { hidden: 4, experts: 2, capacity: 1.4 });
  using _scope = device.scope();
  const { counts } = router.route(device.normal([90, 4]));
  assertEquals([...await read(counts)], [63, 63]);
});

Deno.test("ExpertChoiceRouter's gates and gradient are those of the plain reference", async () => {
  const [tokens, experts, active] = [24, 5, 2];
  for (const { group, size } of [{ group: "batch", size: 24 }, { group: "sequence", size: 8 }]) {
    using device = await openDevice();
    using router = new ExpertChoiceRouter(device, {
      ...{ hidden: tokens, experts, active, capacity: 1.5 },
      group: group as "batch" | "sequence",
    });
    const random = new Random(`expert choice ${group}`);
    const logits = random.normal(tokens * experts);
    const weights = random.normal(tokens * experts);
    write(router.weight, logits);
    const capacity = Math.floor(size * 1.5 * active / experts);
    const reference = (values: Float64Array): Float64Array =>
      expertChoiceGates(values, experts, { group: size, capacity }).gates;

    using tape = device.record();
    const x = device.from(identity(tokens), [tokens, tokens]);
    const { gates } = router.route(x, { sequence: 8 });
    const weight = device.from(weights, [tokens, experts]);
    tape.backward(sum(multiply(gates as Tensor<"f32", readonly [number, number]>, weight)));

    const values = Float64Array.from(logits);
    assertClose(await read(gates), reference(values), `gates by ${group}`, 1e-6);
    const loss = (at: number, by: number): number => {
      const moved = values.slice();
      moved[at]! += by;
      return reference(moved).reduce((total, gate, i) => total + gate * weights[i]!, 0);
    };
    const differences = values.map((_, i) => (loss(i, 1e-6) - loss(i, -1e-6)) / 2e-6);
    assertClose(await read(router.weight.gradient), differences, `gradient by ${group}`, 1e-5);
  }
});

Deno.test("with every token taken, expert choice is the softmax over all experts", async () => {
  using device = await openDevice({ seed: 5 });
  using router = new ExpertChoiceRouter(device, { hidden: 6, experts: 4, active: 4, deviation: 1 });
  using _scope = device.scope();
  const routing = router.route(device.normal([20, 6]));
  assertEquals(await routing.sparsity(), 0);
  const gates = await read(routing.gates);
  for (let t = 0; t < 20; t++) {
    const total = gates.subarray(4 * t, 4 * t + 4).reduce((sum, gate) => sum + gate, 0);
    assertAlmostEquals(total, 1, 1e-6);
  }
});

Deno.test("an expert takes its share even where its probabilities underflow", async () => {
  using device = await openDevice();
  using router = new ExpertChoiceRouter(device, { hidden: 4, experts: 2 });
  using _scope = device.scope();
  write(router.weight, [200, 0, 200, 0, 200, 0, 200, 0]);
  const routing = router.route(device.from(identity(4), [4, 4]));
  assertEquals([...await read(routing.counts)], [2, 2]);
  assertEquals([...await read(routing.gates)], [1, 0, 1, 0, 0, 0, 0, 0]);
  assertEquals(await routing.sparsity(), 0.5);
});

Deno.test("a token that no expert takes leaves the layer as exactly 0", async () => {
  using device = await openDevice();
  using router = new ExpertChoiceRouter(device, { hidden: 4, experts: 2, active: 1 });
  using layer = new MoE(device, { router, hidden: 4, width: 8, deviation: 1 });
  using _scope = device.scope();
  // Both experts rank the first two tokens highest: softmax ties everywhere, the earlier win.
  write(router.weight, Array(8).fill(0));
  const { output } = layer.forward(device.from(identity(4), [4, 4]));
  const y = await read(output);
  assert(y.subarray(0, 8).some((value) => value !== 0));
  assert(y.subarray(8).every((value) => value === 0));
});

Deno.test("groups of a sequence keep sequences apart, those of a batch do not", async () => {
  using device = await openDevice({ seed: 6 });
  for (const group of ["batch", "sequence"] as const) {
    using router = new ExpertChoiceRouter(device, { hidden: 6, experts: 4, group, deviation: 1 });
    using _scope = device.scope();
    const x = device.normal([32, 6]);
    const first = async (): Promise<
      number[]
    > => [...(await read(router.route(x, { sequence: 16 }).gates)).subarray(0, 16 * 4)];
    const before = await first();
    const values = await read(x);
    for (let i = 16 * 6; i < values.length; i++) values[i]! *= 20;
    write(x, values);
    const compare = group === "sequence" ? assertEquals : assertNotEquals;
    compare(await first(), before);
  }
});

Deno.test("generation with expert choice is refused", async () => {
  using device = await openDevice({ seed: 7 });
  using model = new LanguageModel(device, {
    ...{ vocabulary: 10, layers: 1, hidden: 8, heads: 2 },
    feedForward: () => {
      const router = new ExpertChoiceRouter<number>(device, { hidden: 8, experts: 2 });
      const moe = new MoE(device, { router, hidden: 8, width: 4 });
      return {
        forward: (x, context) => moe.forward(x, context).output,
        parameters: () => moe.parameters(),
        [Symbol.dispose]: () => moe[Symbol.dispose](),
      };
    },
  });
  using _scope = device.noGradient();
  using cache = model.openCache(1, 4);
  assertThrows(() => model.prefill([[1, 2]], cache), ConfigError, "use a causal router");
});

Deno.test("the largest capacity takes every token, although 1.12 · 25 comes out above 28", async () => {
  using device = await openDevice({ seed: 9 });
  const sizes = { hidden: 4, experts: 28, active: 25 };
  using router = new ExpertChoiceRouter(device, { ...sizes, capacity: 1.12 });
  using _scope = device.scope();
  assertEquals(await router.route(device.normal([20, 4])).sparsity(), 0);
});

Deno.test("ExpertChoiceRouter refuses impossible settings and sizes", async () => {
  using device = await openDevice();
  const sizes = { hidden: 4, experts: 4 };
  for (
    const [options, message] of [
      [{ ...sizes, active: 0 }, "active is 0"],
      [{ ...sizes, capacity: 0 }, "capacity is 0"],
      [{ ...sizes, active: 2, capacity: 2.5 }, "at most experts / active (2)"],
      // deno-lint-ignore no-explicit-any
      [{ ...sizes, group: "token" as any }, "group is"],
    ] as const
  ) {
    assertThrows(() => new ExpertChoiceRouter(device, options), TypeError, message);
  }
  const hidden: number = 4;
  using router = new ExpertChoiceRouter(device, { hidden, experts: 4 });
  assertThrows(() => router.route(device.zeros([3, 5])), ShapeMismatchError, "[3, 5]");
  const [x, context] = [device.zeros([6, hidden]), { sequence: 4 }];
  assertThrows(() => router.route(x, context), ShapeMismatchError, "sequence is 4");
});
