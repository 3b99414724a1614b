/** How tensors, devices, layers and others print, and convert to strings, JSON and tables. */

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { inspect } from "node:util";
import {
  AdamW,
  Attention,
  DenseRouter,
  type Device,
  Embedding,
  ExpertChoiceRouter,
  FeedForward,
  HashRouter,
  KeyValueCache,
  LanguageModel,
  Linear,
  MoE,
  read,
  ReluRouter,
  RmsNorm,
  SigmoidRouter,
  StepState,
  TopKRouter,
  TransformerBlock,
} from "@remoe/remoe";
import { memoryOf } from "../../lib/autograd/device.ts";
import { openDevice } from "./open_device.ts";

/** A value's table in a notebook. */
function notebook(value: unknown): Record<string, string> {
  return (value as Record<symbol, () => Record<string, string>>)[Symbol.for("Jupyter.display")]!();
}

/** One of each class that users hold. */
function oneOfEach(device: Device): Record<string, object> {
  const router = new ReluRouter(device, { hidden: 8, experts: 4 });
  const layer = new MoE(device, { router, hidden: 8, width: 16 });
  const feedForward = () => new FeedForward(device, { hidden: 8 });
  return {
    Tensor: device.from([1, 2, 3], [3]),
    Parameter: device.parameter([2, 2], { name: "bias" }),
    StepState: new StepState(device),
    Linear: new Linear(device, { input: 4, output: 3 }),
    Embedding: new Embedding(device, { vocabulary: 5, hidden: 8 }),
    RmsNorm: new RmsNorm(device, { hidden: 8 }),
    Attention: new Attention(device, { hidden: 8, heads: 2 }),
    FeedForward: feedForward(),
    TransformerBlock: new TransformerBlock(device, {
      hidden: 8,
      heads: 2,
      feedForward: feedForward(),
    }),
    LanguageModel: new LanguageModel(device, {
      vocabulary: 5,
      layers: 1,
      hidden: 8,
      heads: 2,
      feedForward,
    }),
    KeyValueCache: new KeyValueCache(device, {
      layers: 1,
      groups: 1,
      headDim: 4,
      batch: 1,
      capacity: 2,
    }),
    ReluRouter: router,
    TopKRouter: new TopKRouter(device, { hidden: 8, experts: 4 }),
    SigmoidRouter: new SigmoidRouter(device, { hidden: 8, experts: 4 }),
    DenseRouter: new DenseRouter(device, { hidden: 8, experts: 4 }),
    HashRouter: new HashRouter(device, { hidden: 8, experts: 4 }),
    ExpertChoiceRouter: new ExpertChoiceRouter(device, { hidden: 8, experts: 4 }),
    MoE: layer,
    Routing: layer.forward(device.normal([3, 8])).routing,
    AdamW: new AdamW(device, layer.parameters()),
    Recording: device.record(),
    Scope: device.scope(),
  };
}

Deno.test("a tensor prints its type, shape, device and values", async () => {
  using device = await openDevice();
  const x = device.from(Array.from({ length: 12 }, (_, i) => i / 3), [3, 4]);
  assertEquals(
    Deno.inspect(x),
    `Tensor f32 [3, 4] on cpu
[[0.0000, 0.3333, 0.6667, 1.0000],
 [1.3333, 1.6667, 2.0000, 2.3333],
 [2.6667, 3.0000, 3.3333, 3.6667]]`,
  );
  assertEquals(inspect(x), Deno.inspect(x));
  assertEquals(String(x), "Tensor f32 [3, 4] on cpu");
  assertEquals(
    JSON.stringify({ x }),
    `{"x":{"kind":"Tensor","dtype":"f32","shape":[3,4],"device":"cpu"}}`,
  );
});

Deno.test("short values stay on one line, even inside other values", async () => {
  using device = await openDevice();
  const loss = device.full([], 0.25), x = device.zeros([3, 4]);
  assertEquals(Deno.inspect(loss), "Tensor f32 [] on cpu: 0.2500");
  assertEquals(
    Deno.inspect({ loss, tokens: device.tokens([1, 20, -3]), x }),
    `{
  loss: Tensor f32 [] on cpu: 0.2500,
  tokens: Tensor i32 [3] on cpu: [ 1, 20, -3],
  x: Tensor f32 [3, 4] on cpu
}`,
  );
});

Deno.test("long axes are elided to their ends, and only those are read", async () => {
  using device = await openDevice();
  const x = device.from(Array.from({ length: 40_000 }, (_, i) => i), [200, 200]);
  const { kernels } = memoryOf(device);
  const readBytes = kernels.readBytes.bind(kernels);
  let bytes = 0;
  kernels.readBytes = (address, into) => {
    bytes += into.length;
    readBytes(address, into);
  };
  assertEquals(
    Deno.inspect(x),
    `Tensor f32 [200, 200] on cpu
[[    0,     1,     2, ...,   197,   198,   199],
 [  200,   201,   202, ...,   397,   398,   399],
 [  400,   401,   402, ...,   597,   598,   599],
 ...,
 [39400, 39401, 39402, ..., 39597, 39598, 39599],
 [39600, 39601, 39602, ..., 39797, 39798, 39799],
 [39800, 39801, 39802, ..., 39997, 39998, 39999]]`,
  );
  assertEquals(bytes, 36 * 4);
  assert(Deno.inspect(device.ones([20, 30, 40, 50])).split("\n").length < 400);
});

Deno.test("values too small for four decimals use exponents, and columns stay aligned", async () => {
  using device = await openDevice();
  assertEquals(
    Deno.inspect(device.from([1e-8, -0.5, NaN, Infinity], [4])),
    "Tensor f32 [4] on cpu\n[ 1.0000e-8, -5.0000e-1,        NaN,   Infinity]",
  );
  const wide = Deno.inspect(device.full([100], 1 / 3)).split("\n");
  assert(wide.length > 5 && wide.every((line) => line.length <= 100));
});

Deno.test("text, JSON and messages read nothing from the device", async () => {
  using device = await openDevice();
  const values = oneOfEach(device);
  memoryOf(device).kernels.readBytes = () => {
    throw new Error("read");
  };
  for (const [kind, value] of Object.entries(values)) {
    assertStringIncludes(String(value), kind);
    assertEquals(JSON.parse(JSON.stringify(value)).kind, kind);
    assertStringIncludes(Deno.inspect(value, { depth: 0 }), kind);
  }
  // A device failure does not break the console either.
  assertStringIncludes(Deno.inspect(values.Tensor), "cannot be read: read");
  const error = assertThrows(() => new AdamW(device, [values.MoE as never]));
  assertStringIncludes((error as Error).message, "MoE on cpu: experts 4, hidden 8, width 16");
});

Deno.test("a device and a layer describe themselves", async () => {
  using device = await openDevice({ seed: 42 });
  assertMatch(
    Deno.inspect(device),
    /^Device on cpu: instruction set \w+, threads \d+, seed 42\n {2}processor .*\n {2}memory .*\n {2}library /,
  );
  const { MoE: layer, LanguageModel: model } = oneOfEach(device);
  assertEquals(
    Deno.inspect(layer),
    `MoE on cpu: experts 4, hidden 8, width 16, parameters 1568
  gate.weight  f32  [8, 4]      32
  experts.w1   f32  [4, 8, 32]  1024
  experts.w2   f32  [4, 16, 8]  512`,
  );
  assert(Deno.inspect(model).split("\n").length < 15);
});

Deno.test("a notebook shows tables", async () => {
  using device = await openDevice();
  const { "text/html": html, "text/plain": plain } = notebook(device.from([1, 2, 3, 4], [2, 2]));
  assertEquals(
    html,
    "<div><b>Tensor f32 [2, 2] on cpu</b></div><table><tr><td>1</td><td>2</td></tr>" +
      "<tr><td>3</td><td>4</td></tr></table>",
  );
  assertEquals(plain, "Tensor f32 [2, 2] on cpu\n[[1, 2],\n [3, 4]]");
  const layer = new Linear(device, { input: 4, output: 3, name: "<a&b>" });
  assertStringIncludes(
    notebook(layer)["text/html"]!,
    "<tr><th>parameter</th><th>type</th><th>shape</th><th>elements</th></tr>" +
      "<tr><td>&lt;a&amp;b&gt;</td><td>f32</td><td>[4, 3]</td><td>12</td></tr>",
  );
});

Deno.test("disposed objects say so, and so does everything of a closed device", async () => {
  const device = await openDevice();
  const values = oneOfEach(device);
  for (const kind of ["Tensor", "Parameter", "Linear", "LanguageModel", "StepState", "AdamW"]) {
    (values[kind] as Disposable)[Symbol.dispose]();
    assertStringIncludes(Deno.inspect(values[kind]), `, disposed of`);
    assertEquals(JSON.parse(JSON.stringify(values[kind])).device, null);
  }
  device.close();
  assertEquals(String(device), "Device cpu, closed");
  for (const [kind, value] of Object.entries(values)) {
    const shows = [Deno.inspect(value), String(value), notebook(value)["text/plain"]!];
    for (const text of shows) {
      assertStringIncludes(text, kind);
      const hasTensors = kind !== "DenseRouter" && kind !== "HashRouter";
      if (hasTensors) assertStringIncludes(text, ", its device is closed");
    }
    // An object derived from one has no state to show, and must not throw either.
    assert(Deno.inspect(Object.create(value)).length > 0);
  }
});

Deno.test("showing a tensor changes nothing", async () => {
  using device = await openDevice();
  using _tape = device.record();
  const x = device.from([1, 2], [2]);
  const before = device.statistics();
  Deno.inspect(x);
  assertEquals(device.statistics(), before);
  assertEquals([...await read(x)], [1, 2]);
  assertEquals(Object.keys(x).filter((key) => /inspect|display|json|string/i.test(key)), []);
});
