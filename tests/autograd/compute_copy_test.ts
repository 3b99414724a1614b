import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AdamW,
  cast,
  type Device,
  Embedding,
  Linear,
  loadWeights,
  MoE,
  multiply,
  read,
  ReluRouter,
  saveWeights,
  StepState,
  sum,
  type Tensor,
  write,
} from "../../mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import { ParameterTensor } from "../../lib/autograd/parameter.ts";
import { openDevice } from "../tensor/open_device.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

/** Asserts that what products read of each parameter is the parameter, rounded. */
async function assertFresh(device: Device, parameters: Iterable<Tensor>): Promise<void> {
  using _scope = device.noGradient();
  for (const parameter of parameters) {
    const own = parameter as ParameterTensor;
    if (own.copy === null) continue;
    const rounded = await read(cast(own, "bf16"));
    assertEquals(await read(own.readAs("bf16")), rounded, own.name);
  }
}

Deno.test("products read what was written into a parameter, by whatever means", async () => {
  using device = await openDevice({ seed: 1 });
  using folder = new TemporaryFolder();
  using layer = new Linear(device, { input: 2, output: 2, dtype: "bf16" });
  const { weight } = layer;
  const seen = async () => {
    using _scope = device.noGradient();
    const x = cast(device.from([1, 0, 0, 1], [2, 2]), "bf16");
    return [...await read(layer.forward(x))];
  };
  assertEquals(await seen(), [...await read(cast(weight, "bf16"))]);
  write(weight, [1, 2, 3, 4]);
  assertEquals(await seen(), [1, 2, 3, 4]);
  const path = `${folder.path}/weights.safetensors`;
  saveWeights(layer.parameters(), path);
  write(weight, [5, 6, 7, 8]);
  assertEquals(await seen(), [5, 6, 7, 8]);
  loadWeights(layer.parameters(), path);
  assertEquals(await seen(), [1, 2, 3, 4]);
  await assertFresh(device, layer.parameters());
});

Deno.test("the optimizer keeps the copies at what it makes of the parameters, to the bit", async () => {
  using device = await openDevice({ seed: 2 });
  using router = new ReluRouter(device, { hidden: 8, experts: 2 });
  using layer = new MoE(device, { router, hidden: 8, width: 16, deviation: 0.2, dtype: "bf16" });
  using optimizer = new AdamW(device, layer.parameters(), { lr: 1e-2 });
  const x = cast(device.normal([32, 8], { mean: 1 }), "bf16");
  const before = await read([...layer.parameters()][1]!);
  for (let step = 0; step < 3; step++) {
    using tape = device.record();
    tape.backward(sum(cast(layer.forward(x).output, "f32")));
    optimizer.step();
    await assertFresh(device, layer.parameters());
  }
  const after = await read([...layer.parameters()][1]!);
  assert(after.some((value, i) => value !== before[i]));
});

Deno.test("copies of tiny weights are rounded by the optimizer as by a cast", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = new Linear(device, { input: 4, output: 4, dtype: "bf16" });
  // Subnormal in bf16 and in fp32, and next to the smallest normal number.
  const tiny = [1e-38, -1e-39, 3e-41, 1e-45, 1.2e-38, -1.17e-38, 0, -0];
  write(layer.weight, [...tiny, ...tiny]);
  using optimizer = new AdamW(device, layer.parameters(), { lr: 0, weightDecay: 0 });
  optimizer.step();
  await assertFresh(device, layer.parameters());
});

Deno.test("a step that is skipped leaves no copy behind what was written before it", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = new Linear(device, { input: 2, output: 2, dtype: "bf16" });
  using state = new StepState(device);
  using optimizer = new AdamW(device, layer.parameters(), { lr: 0.1, state });
  {
    using tape = device.record();
    tape.backward(sum(cast(layer.forward(cast(device.full([1, 2], NaN), "bf16")), "f32")));
  }
  write(layer.weight, [1, 2, 3, 4]);
  optimizer.step();
  assert(state.read().notFinite);
  assertEquals([...await read(layer.weight)], [1, 2, 3, 4]);
  await assertFresh(device, layer.parameters());
});

Deno.test("gradients of a copy's products reach the parameter in fp32", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = new Linear(device, { input: 2, output: 1, dtype: "bf16" });
  for (const accumulated of [1, 2]) {
    using tape = device.record();
    const x = cast(device.from([1 + 2 ** -7, 2, 1, 3], [2, 2]), "bf16");
    tape.backward(sum(cast(layer.forward(x), "f32")));
    assertEquals(layer.weight.gradient.dtype, "f32");
    // 2 + 2^-7 needs more digits than bf16 has.
    const wanted = [(2 + 2 ** -7) * accumulated, 5 * accumulated];
    assertEquals([...await read(layer.weight.gradient)], wanted);
  }
});

Deno.test("a table read as bf16 gets its gradient in fp32, rows that occur twice included", async () => {
  using device = await openDevice({ seed: 2 });
  using table = new Embedding(device, { vocabulary: 3, hidden: 1, dtype: "bf16" });
  using tape = device.record();
  const weights = device.from([1, 2 ** -7, 1], [3, 1]);
  const y = cast(table.forward(device.tokens([2, 2, 0])), "f32");
  tape.backward(sum(multiply(y, weights)));
  const [{ gradient }] = [...table.parameters()] as [ParameterTensor];
  assertEquals([...await read(gradient)], [1, 0, 1 + 2 ** -7]);
});

Deno.test("a backward pass refuses bf16 products of weights that were written since", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = new Linear(device, { input: 2, output: 2, dtype: "bf16" });
  using tape = device.record();
  const loss = sum(cast(layer.forward(cast(device.ones([1, 2]), "bf16")), "f32"));
  write(layer.weight, [1, 2, 3, 4]);
  assertThrows(() => tape.backward(loss), Error, "was written after the forward pass");
});

Deno.test("a parameter's copy is freed with it, and only parameters of bf16 layers have one", async () => {
  using device = await openDevice({ seed: 2 });
  const { inUse } = device.statistics();
  const layer = new Linear(device, { input: 4, output: 4, dtype: "bf16" });
  assertEquals(device.statistics().inUse - inUse, 16 * (4 + 2));
  layer[Symbol.dispose]();
  assertEquals(device.statistics().inUse, inUse);
  using plain = ParameterTensor.make(memoryOf(device), "w", [4], true);
  assertEquals(plain.copy, null);
  assertThrows(() => plain.readAs("bf16"), TypeError, "made without a copy");
});
