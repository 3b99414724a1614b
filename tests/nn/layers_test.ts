import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  Attention,
  ConfigError,
  type Device,
  DeviceError,
  Embedding,
  FeedForward,
  LanguageModel,
  Linear,
  type Parameter,
  read,
  RmsNorm,
  ShapeMismatchError,
  TransformerBlock,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { swiglu } from "../../kernels/cases/reference/experts.ts";
import { matmul } from "../../kernels/cases/reference/gemm.ts";
import { rmsNorm } from "../../kernels/cases/reference/rms_norm.ts";
import { openDevice } from "../tensor/open_device.ts";

async function doubles(tensor: Parameter | Parameter["gradient"]): Promise<Float64Array> {
  return Float64Array.from(await read(tensor));
}

function deviationOf(x: Float64Array): number {
  return Math.sqrt(x.reduce((total, value) => total + value * value, 0) / x.length);
}

Deno.test("Linear multiplies by weights [input, output]", async () => {
  using device = await openDevice({ seed: 1 });
  using layer = new Linear(device, { input: 6, output: 3, deviation: 1, name: "head" });
  using _scope = device.scope();
  const x = device.normal([4, 6]);
  const expected = matmul(await doubles(x), await doubles(layer.weight), 4, 6, 3);
  assertClose(await read(layer.forward(x)), expected, "y", 1e-6);
  assertEquals([...layer.parameters()], [layer.weight]);
});

Deno.test("Linear starts with the requested deviation", async () => {
  using device = await openDevice({ seed: 1 });
  using plain = new Linear(device, { input: 64, output: 64 });
  using wide = new Linear(device, { input: 64, output: 64, deviation: 0.5 });
  assertAlmostEquals(deviationOf(await doubles(plain.weight)), 0.02, 0.001);
  assertAlmostEquals(deviationOf(await doubles(wide.weight)), 0.5, 0.025);
});

Deno.test("Linear refuses rows of another size", async () => {
  using device = await openDevice();
  const input: number = 6;
  using layer = new Linear(device, { input, output: 3 });
  assertThrows(
    () => layer.forward(device.zeros([4, input + 1])),
    ShapeMismatchError,
    "[4, 7] and [6, 3]",
  );
});

Deno.test("RmsNorm scales rows to a mean square of 1, then by its weights", async () => {
  using device = await openDevice({ seed: 1 });
  using norm = new RmsNorm(device, { hidden: 8, epsilon: 1e-3 });
  using _scope = device.scope();
  const x = device.normal([5, 8], { deviation: 3 });
  const [weight] = [...norm.parameters()] as [Parameter];
  assertEquals([...await read(weight)], new Array(8).fill(1));
  assertEquals(weight.decay, false);
  for (const row of [0, 1, 2, 3, 4]) {
    const y = (await doubles(norm.forward(x))).subarray(8 * row, 8 * row + 8);
    assertAlmostEquals(deviationOf(y), 1, 1e-3);
  }
  write(weight, [1, 2, 3, 4, 5, 6, 7, 8]);
  const expected = rmsNorm(await doubles(x), await doubles(weight), Math.fround(1e-3));
  assertClose(await read(norm.forward(x)), expected, "y", 1e-6);
});

Deno.test("Embedding gives each token its row", async () => {
  using device = await openDevice({ seed: 1 });
  using layer = new Embedding(device, { vocabulary: 5, hidden: 3 });
  using _scope = device.scope();
  const [table] = [...layer.parameters()] as [Parameter];
  write(table, Array.from({ length: 15 }, (_, i) => i));
  assertEquals([...await read(layer.forward(device.tokens([4, 0, 4])))], [
    ...[12, 13, 14],
    ...[0, 1, 2],
    ...[12, 13, 14],
  ]);
});

Deno.test("Embedding names the position of a token outside the vocabulary", async () => {
  using device = await openDevice();
  using layer = new Embedding(device, { vocabulary: 5, hidden: 3 });
  for (const token of [5, -1]) {
    assertThrows(() => layer.forward(device.tokens([0, 1, token])), DeviceError, "position 2");
  }
});

Deno.test("FeedForward is (silu(x W_gate) · x W_up) W_down", async () => {
  using device = await openDevice({ seed: 1 });
  using layer = new FeedForward(device, { hidden: 6, width: 5, deviation: 0.5 });
  using _scope = device.scope();
  const x = device.normal([4, 6]);
  const [gateUp, down] = [...layer.parameters()] as [Parameter, Parameter];
  assertEquals([gateUp.shape, down.shape], [[6, 10], [5, 6]]);
  const h = matmul(await doubles(x), await doubles(gateUp), 4, 6, 10);
  const expected = matmul(swiglu(h, 5), await doubles(down), 4, 5, 6);
  assertClose(await read(layer.forward(x)), expected, "y", 2e-6);
});

Deno.test("FeedForward is four times as wide as its input by default", async () => {
  using device = await openDevice();
  using layer = new FeedForward(device, { hidden: 6 });
  assertEquals([...layer.parameters()].map(({ name, shape }) => [name, shape]), [
    ["mlp.gate_up_proj.weight", [6, 48]],
    ["mlp.down_proj.weight", [24, 6]],
  ]);
});

Deno.test("a block names its weights, and frees them and its second half", async () => {
  using device = await openDevice();
  const build = (device: Device): TransformerBlock =>
    new TransformerBlock(device, {
      hidden: 8,
      heads: 2,
      feedForward: new FeedForward(device, { hidden: 8, name: "block.mlp" }),
      name: "block",
    });
  const block = build(device);
  assertEquals([...block.parameters()].map(({ name, decay }) => [name, decay]), [
    ["block.input_layernorm.weight", false],
    ["block.self_attn.qkv_proj.weight", true],
    ["block.self_attn.o_proj.weight", true],
    ["block.post_attention_layernorm.weight", false],
    ["block.mlp.gate_up_proj.weight", true],
    ["block.mlp.down_proj.weight", true],
  ]);
  assert(device.statistics().inUse > 0);
  block[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("attention with indivisible sizes is refused", async () => {
  using device = await openDevice();
  for (const sizes of [{ heads: 3 }, { heads: 4, groups: 3 }, { heads: 8 }]) {
    assertThrows(
      () => new Attention(device, { hidden: 8, ...sizes }),
      ConfigError,
      "hidden size 8",
    );
  }
});

Deno.test("a layer that fails to construct leaks no memory", async () => {
  using device = await openDevice();
  const half = () => new FeedForward(device, { hidden: 8, width: 4 });
  const model = { vocabulary: 5, layers: 2, hidden: 8, heads: 2 };
  const makes: Readonly<Record<string, () => unknown>> = {
    Attention: () => new Attention(device, { hidden: 8, heads: 2, outputDeviation: NaN }),
    TransformerBlock: () => {
      using feedForward = half();
      return new TransformerBlock(device, { hidden: 8, heads: 3, feedForward });
    },
    LanguageModel: () => new LanguageModel(device, { ...model, heads: 3, feedForward: half }),
    "a LanguageModel without a second layer": () =>
      new LanguageModel(device, {
        ...model,
        feedForward: (layer) => layer === 0 ? half() : undefined as never,
      }),
  };
  for (const [name, make] of Object.entries(makes)) {
    assertThrows(make, ConfigError, "Cannot build", name);
    assertEquals(device.statistics().blocks, 0, name);
  }
});

Deno.test("TransformerBlock says what an invalid second half lacks", async () => {
  using device = await openDevice();
  const half = {
    forward: <T>(x: T): T => x,
    parameters: () => undefined as never,
    [Symbol.dispose]: () => {},
  };
  for (const method of ["parameters", Symbol.dispose] as const) {
    const feedForward = { ...half, [method]: undefined as never };
    const make = () => new TransformerBlock(device, { hidden: 8, heads: 2, feedForward });
    assertThrows(make, TypeError, "is undefined, expected a function");
  }
  using block = new TransformerBlock(device, { hidden: 8, heads: 2, feedForward: half });
  assertThrows(
    () => new AdamW(device, block.parameters()),
    TypeError,
    "Cannot list the parameters of a block's second half: parameters() gave undefined",
  );
});

Deno.test("TransformerBlock refuses a second half of another shape, which a sum would broadcast", async () => {
  using device = await openDevice();
  const gives = (...shape: number[]) => ({
    forward: () => device.ones(shape) as never,
    parameters: () => [],
    [Symbol.dispose]() {},
  });
  for (const shape of [[1, 8], [4, 1], [8], []]) {
    using block = new TransformerBlock(device, {
      hidden: 8,
      heads: 2,
      feedForward: gives(...shape),
    });
    assertThrows(
      () => block.forward(device.ones([4, 8]), 4),
      ShapeMismatchError,
      "expected the same shape",
    );
  }
});
