import { assert, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AdamW,
  Attention,
  checkGradient,
  ConfigError,
  Device,
  Embedding,
  FeedForward,
  LanguageModel,
  Linear,
  max,
  mean,
  MoE,
  ReluRouter,
  RmsNorm,
  routingOf,
  slice,
  StepState,
  sum,
  TopKRouter,
  TransformerBlock,
} from "@remoe/remoe";
import { StepProfile } from "@remoe/remoe/train";

// deno-lint-ignore no-explicit-any -- stands for code that is not type-checked
type Any = any;

Deno.test("a misspelt option is refused with the intended name", async (t) => {
  using device = await Device.open({ kind: "cpu", seed: 1 });
  using _scope = device.scope();
  const x = device.ones([4, 4]);
  using router = new ReluRouter(device, { hidden: 4, experts: 2 });
  const feedForward = () => new FeedForward(device, { hidden: 4 });
  const model = { vocabulary: 4, layers: 1, hidden: 4, heads: 1, feedForward };
  const half = { forward: (x: Any) => x, parameters: () => [], [Symbol.dispose]() {} };
  const calls: readonly [meant: string, call: (given: Any) => unknown, valid: object][] = [
    ["balanceCoefficient", (o) => new TopKRouter(device, o), { hidden: 4, experts: 2 }],
    ["lambda", (o) => new ReluRouter(device, o), { hidden: 4, experts: 2 }],
    ["deviation", (o) => new MoE(device, o), { router, hidden: 4, width: 4 }],
    ["weightDecay", (o) => new AdamW(device, [router.weight], o), {}],
    ["experts", (o) => new StepState(device, o), {}],
    ["outputDeviation", (o) => new FeedForward(device, o), { hidden: 4 }],
    ["deviation", (o) => new Embedding(device, o), { vocabulary: 4, hidden: 4 }],
    ["deviation", (o) => new Linear(device, o), { input: 4, output: 4 }],
    ["ropeBase", (o) => new LanguageModel(device, o), model],
    ["groups", (o) => new Attention(device, o), { hidden: 4, heads: 1 }],
    ["groups", (o) => new TransformerBlock(device, o), { hidden: 4, heads: 1, feedForward: half }],
    ["epsilon", (o) => new RmsNorm(device, o), { hidden: 4 }],
    ["active", (o) => routingOf(x, o), {}],
    ["mean", (o) => device.normal([2], o), {}],
    ["high", (o) => device.uniform([2], o), {}],
    ["decay", (o) => device.parameter([2], o), {}],
    ["axis", (o) => sum(x, o), {}],
    ["axis", (o) => mean(x, o), {}],
    ["axis", (o) => max(x, o), {}],
    ["start", (o) => slice(x, o), { axis: 0 }],
    ["samples", (o) => checkGradient((x: Any) => x, [x], o), {}],
    ["traced", (o) => new StepProfile(device, o), {}],
  ];
  for (const [meant, call, valid] of calls) {
    await t.step(meant, () => {
      const misspelt = `${meant.slice(0, 1)}${meant.slice(2)}`;
      const error = assertThrows(() => call({ ...valid, [misspelt]: 1 }), ConfigError);
      assertStringIncludes((error as Error).message, `"${misspelt}"; did you mean ${meant}?`);
    });
  }
  await assertRejects(
    () => Device.open({ thread: 1 } as Any),
    ConfigError,
    "did you mean threads?",
  );
});

Deno.test("an unrecognizable option is refused with the list of valid ones", async () => {
  using device = await Device.open({ kind: "cpu" });
  const options = { hidden: 4, experts: 2, temperature: 0.1 } as Any;
  assertThrows(() => new TopKRouter(device, options), ConfigError, "balanceCoefficient");
});

Deno.test("an instance of a class may have fields besides the options", async () => {
  using device = await Device.open({ kind: "cpu" });
  class Settings {
    readonly hidden = 4;
    readonly note = "the small one";
    get experts(): number {
      return 2;
    }
  }
  using router = new TopKRouter(device, new Settings());
  assert(router.experts === 2);
  assertThrows(() => new ReluRouter(device, { ...new Settings() } as Any), ConfigError, "note");
});
