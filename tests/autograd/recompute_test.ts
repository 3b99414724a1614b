import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  add,
  type Device,
  FeedForward,
  Linear,
  mean,
  MoE,
  multiply,
  read,
  recompute,
  relu,
  ReluRouter,
  scale,
  silu,
  square,
  StepState,
  sum,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

type Rows = Tensor<"f32", readonly [32, 16]>;

/** Loss, gradient of the input and of every parameter, and the peak memory of a deep network. */
async function train(
  device: Device,
  layers: readonly FeedForward[],
  x: Rows,
  run: (layer: FeedForward, x: Rows) => Rows,
): Promise<{ numbers: Float32Array[]; peak: number }> {
  const { inUse } = device.statistics();
  device.resetPeak();
  using tape = device.record();
  tape.watch(x);
  let y = x;
  for (const layer of layers) y = add(y, run(layer, y));
  const loss = mean(square(y));
  tape.backward(loss);
  const { peak } = device.statistics();
  const gradients = layers.flatMap((layer) =>
    [...layer.parameters()].map((parameter) => parameter.gradient)
  );
  const numbers = await Promise.all([loss, tape.gradient(x), ...gradients].map((t) => read(t)));
  for (const layer of layers) {
    for (const parameter of layer.parameters()) parameter.zeroGradient();
  }
  return { numbers, peak: peak - inUse };
}

Deno.test("recompute() gives the same bits in less memory", async () => {
  using device = await openDevice({ seed: 1 });
  using stack = new DisposableStack();
  const layers = Array.from(
    { length: 6 },
    () => stack.use(new FeedForward(device, { hidden: 16, width: 64, deviation: 0.3 })),
  );
  const x: Rows = device.normal([32, 16]);
  const forward = (layer: FeedForward, v: Rows): Rows => layer.forward(v) as Rows;
  await train(device, layers, x, forward); // the parameters' gradients are allocated once
  const plain = await train(device, layers, x, forward);
  const again = await train(
    device,
    layers,
    x,
    (layer, v) => recompute((u) => forward(layer, u), v),
  );
  assertEquals(again.numbers, plain.numbers);
  assert(plain.numbers.every((array) => array.some((value) => value !== 0)));
  assert(
    again.peak < 0.6 * plain.peak,
    `peak ${again.peak} bytes with recomputation, ${plain.peak} without`,
  );
});

Deno.test("recompute() nests", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  const y = recompute((v) => square(recompute((u) => scale(square(u), 3), v)), x);
  tape.backward(sum(y));
  // (3x²)² = 9x⁴
  assertEquals([...await read(y)], [9, 144]);
  assertEquals([...await read(tape.gradient(x))], [36, 288]);
});

Deno.test("recompute() takes several inputs, and the same one twice", async () => {
  using device = await openDevice();
  using tape = device.record();
  const a = tape.watch(device.from([2, 3], [2]));
  const b = tape.watch(device.from([5, 7], [2]));
  const product = (u: typeof a, v: typeof a): typeof a => multiply(u, square(v));
  tape.backward(sum(add(recompute(product, a, b), recompute(product, a, a))));
  assertEquals([...await read(tape.gradient(a))], [25 + 12, 49 + 27]);
  assertEquals([...await read(tape.gradient(b))], [20, 42]);
});

Deno.test("recompute() of a function that returns its input passes the gradient once", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  tape.backward(sum(scale(recompute((v) => v, x), 3)));
  assertEquals([...await read(tape.gradient(x))], [3, 3]);
});

Deno.test("recompute() computes parameter gradients even if no input is watched", async () => {
  using device = await openDevice();
  using layer = new Linear(device, { input: 3, output: 2 });
  using tape = device.record();
  tape.backward(sum(recompute((v) => layer.forward(v), device.ones([4, 3]))));
  assertEquals([...await read(layer.weight.gradient)], [4, 4, 4, 4, 4, 4]);
});

Deno.test("recompute() treats a tensor not among its inputs as a constant", async () => {
  using device = await openDevice();
  using tape = device.record();
  const [x, y] = [tape.watch(device.from([2], [1])), tape.watch(device.from([5], [1]))];
  tape.backward(sum(recompute((v) => multiply(v, y), x)));
  assertEquals([...await read(tape.gradient(x))], [5]);
  assertEquals([...await read(tape.gradient(y))], [0]);
});

Deno.test("recompute() without a tape just runs", async () => {
  using device = await openDevice();
  using _scope = device.scope();
  const y = recompute((v) => relu(v), device.from([1, -1], [2]));
  assertEquals([...await read(y)], [1, 0]);
});

Deno.test("recompute() refuses a function that returns no tensor, with and without a tape", async () => {
  using device = await openDevice();
  const give = (value: unknown) => () =>
    recompute((_: Tensor) => value as Tensor, device.ones([2]));
  for (const value of [undefined, null, 3, [1, 2]]) {
    assertThrows(give(value), TypeError, "Cannot use the result of recompute,");
    using _tape = device.record();
    assertThrows(give(value), TypeError, "Cannot use the result of recompute,");
  }
});

Deno.test("recompute() runs its function once forward and once backward", async () => {
  using device = await openDevice();
  let runs = 0;
  {
    using tape = device.record();
    const x = tape.watch(device.ones([2]));
    const y = recompute((v) => {
      runs++;
      return silu(v);
    }, x);
    assertEquals(runs, 1);
    tape.backward(sum(y));
    assertEquals(runs, 2);
  }
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("recompute() of an MoE layer counts its routing once", async () => {
  using device = await openDevice({ seed: 3 });
  using state = new StepState(device, { layers: 1, experts: 4 });
  using router = new ReluRouter(device, { hidden: 8, experts: 4, state });
  using layer = new MoE(device, { router, hidden: 8, width: 8, state });
  const x = device.normal([20, 8]);
  const routed = (run: () => Tensor<"f32", readonly [20, 8]>): Float64Array => {
    state.begin();
    using tape = device.record();
    tape.backward(sum(run()));
    return state.read().layers[0]!.counts;
  };
  const plain = routed(() => layer.forward(x).output);
  assert(plain.some((count) => count > 0));
  assertEquals(routed(() => recompute((v) => layer.forward(v).output, x)), plain);
});

Deno.test("recompute() repeats the same random numbers, and shifts no later draw", async () => {
  const run = async (isRecomputed: boolean) => {
    using device = await openDevice({ seed: 3 });
    using tape = device.record();
    const x = tape.watch(device.from([1, 2], [2]));
    const noisy = (v: Tensor<"f32", readonly [2]>) => multiply(v, device.normal([2]));
    const y = isRecomputed ? recompute(noisy, x) : noisy(x);
    tape.backward(sum(y));
    return [y, tape.gradient(x), device.normal([2])].map((tensor) => read(tensor));
  };
  const again = await Promise.all(await run(true));
  assertEquals(again, await Promise.all(await run(false)));
});

Deno.test("recompute() refuses a function whose number of draws changes", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  let runs = 0;
  const y = recompute((v) => runs++ === 0 ? v : multiply(v, device.normal([2])), scale(x, 1));
  assertEquals(y.shape, [2]); // returned unchanged: nothing to recompute
  runs = 0;
  const z = recompute((v) => multiply(v, runs++ === 0 ? v : device.normal([2])), x);
  assertThrows(() => tape.backward(sum(z)), Error, "drew random tensors 0 times first and now 1");
});

Deno.test("recompute() leaves the gradient of an outside tensor alone", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  const y = scale(x, 3);
  tape.backward(sum(add(recompute((_: typeof x) => y, x), y)));
  assertEquals([...await read(tape.gradient(x))], [3, 3]);
});
