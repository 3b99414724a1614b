/** Lory against its definition: results, gradients, causality. @module */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  type Device,
  FeedForward,
  LoryRouter,
  MergedExperts,
  type MergingRouter,
  multiply,
  type Parameter,
  read,
  type Routing,
  ShapeMismatchError,
  StepState,
  sum,
  type Tensor,
  TopKRouter,
  write,
} from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { dot } from "../../kernels/cases/reference/reduction.ts";
import { segmentCount, segmentLength } from "../../lib/moe/segments.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";
import { lory, type LoryInputs, type LorySizes } from "./lory_reference.ts";

type Matrix = Tensor<"f32", readonly [number, number]>;

const SIZES: LorySizes = { sequences: 2, sequence: 12, hidden: 4, width: 3, experts: 3 };
const NAMES = ["router", "w1", "w2"] as const;

/** A layer whose router decides firmly enough to matter. */
function layerOf(device: Device, { hidden, width, experts }: LorySizes, state?: StepState) {
  const router = new LoryRouter(device, { hidden, experts, deviation: 2 });
  const options = { router, hidden, width, deviation: 0.7, outputDeviation: 0.7 };
  return new MergedExperts(device, { ...options, ...(state === undefined ? {} : { state }) });
}

/** Output and gradients of a layer under fixed weights of its outputs. */
async function outcomeOf(
  device: Device,
  layer: MergedExperts,
  values: Float32Array,
  weights: Float32Array,
  { sequence, hidden }: LorySizes,
): Promise<Record<"y" | "x" | (typeof NAMES)[number], Float32Array>> {
  const shape = [values.length / hidden, hidden] as const;
  using tape = device.record();
  const x = tape.watch(device.from(values, shape));
  const y = layer.forward(x, { sequence }).output as Matrix;
  tape.backward(sum(multiply(y, device.from(weights, shape) as Matrix)));
  const [router, w1, w2] = await Promise.all(
    [...layer.parameters()].map(({ gradient }) => read(gradient)),
  );
  return {
    ...{ y: await read(y), x: await read(tape.gradient(x)) },
    ...{ router: router!, w1: w1!, w2: w2! },
  };
}

async function inputsOf(layer: MergedExperts, values: Float32Array): Promise<LoryInputs> {
  const [router, w1, w2] = await Promise.all([...layer.parameters()].map((each) => read(each)));
  const double = (array: Float32Array) => Float64Array.from(array);
  return { x: double(values), router: double(router!), w1: double(w1!), w2: double(w2!) };
}

for (const sequence of [1, 3, 8, 12, 13, 19]) {
  Deno.test(`Lory and all its gradients match the definition at ${sequence} tokens`, async () => {
    const sizes = { ...SIZES, sequence };
    using device = await openDevice({ seed: 5 });
    using layer = layerOf(device, sizes);
    using _router = layer.router;
    const random = new Random(`lory ${sequence}`);
    const count = sizes.sequences * sequence * sizes.hidden;
    const [values, weights] = [random.normal(count), random.normal(count)];
    const outcome = await outcomeOf(device, layer, values, weights, sizes);
    const inputs = await inputsOf(layer, values);
    assertClose(outcome.y, lory(inputs, inputs.x, sizes), "output", 2e-5);
    for (const name of ["x", ...NAMES] as const) {
      const varied = inputs[name].slice();
      const at = (i: number, value: number): number => {
        varied[i] = value;
        // The first segments' routing gets no gradient: it keeps seeing the original input.
        return dot(lory({ ...inputs, [name]: varied }, inputs.x, sizes), weights);
      };
      const expected = inputs[name].map((value, i) => {
        const difference = at(i, value + 1e-5) - at(i, value - 1e-5);
        varied[i] = value;
        return difference / 2e-5;
      });
      assertClose(outcome[name], expected, `gradient of ${name}`, 3e-5, 0.5);
    }
  });
}

Deno.test("Lory with one expert is the dense feed-forward network", async () => {
  const sizes = { ...SIZES, experts: 1, hidden: 6, width: 8 };
  using device = await openDevice({ seed: 1 });
  using dense = new FeedForward(device, { hidden: 6, width: 8, deviation: 0.5 });
  using layer = layerOf(device, sizes);
  using _router = layer.router;
  const [, w1, w2] = [...layer.parameters()];
  const [up, down] = [...dense.parameters()];
  write(w1!, await read(up!));
  write(w2!, await read(down!));
  const random = new Random("one expert");
  const [values, weights] = [random.normal(24 * 6), random.normal(24 * 6)];
  const merged = await outcomeOf(device, layer, values, weights, sizes);
  using tape = device.record();
  const x = tape.watch(device.from(values, [24, 6]));
  const y = dense.forward(x) as Matrix;
  tape.backward(sum(multiply(y, device.from(weights, [24, 6]) as Matrix)));
  assertClose(merged.y, await read(y), "output", 2e-6);
  assertClose(merged.x, await read(tape.gradient(x)), "gradient of x", 5e-6);
  assertClose(merged.w1, await read(up!.gradient), "gradient of w1", 5e-6);
  assertClose(merged.w2, await read(down!.gradient), "gradient of w2", 5e-6);
  assert(merged.router.every((value) => Math.abs(value) < 1e-5));
});

Deno.test("up to 128 experts and several threads give the same bits every time", async () => {
  const sizes = { sequences: 3, sequence: 40, hidden: 16, width: 24, experts: 128 };
  const random = new Random("many experts");
  const [values, weights] = [random.normal(120 * 16), random.normal(120 * 16)];
  const outcomes = [];
  for (const threads of [1, 2, 2]) {
    using device = await openDevice({ seed: 9, threads });
    using layer = layerOf(device, sizes);
    using _router = layer.router;
    outcomes.push(await outcomeOf(device, layer, values, weights, sizes));
  }
  assertEquals(outcomes[1], outcomes[2]);
  assertClose(outcomes[0]!.y, outcomes[1]!.y, "output by threads", 1e-5);
});

Deno.test("a token changes no output of earlier segments, except within the first", async () => {
  const { sequence, hidden } = SIZES;
  using device = await openDevice({ seed: 5 });
  using layer = layerOf(device, SIZES);
  using _router = layer.router;
  using _scope = device.noGradient();
  const values = new Random("causality").normal(SIZES.sequences * sequence * hidden);
  const run = async (numbers: Float32Array) =>
    await read(layer.forward(device.from(numbers, [24, hidden]), { sequence }).output);
  const before = await run(values);
  const length = segmentLength(sequence);
  for (let token = 0; token < sequence; token++) {
    const changed = values.slice();
    changed.fill(-2, token * hidden, (token + 1) * hidden);
    const after = await run(changed);
    const segment = Math.floor(token / length);
    const differs = Array.from(
      { length: sequence },
      (_, t) =>
        before.subarray(t * hidden, (t + 1) * hidden).some((value, d) =>
          value !== after[t * hidden + d]
        ),
    );
    const expected = differs.map((_, t) =>
      t === token || segment === 0 && t < length || Math.floor(t / length) === segment + 1
    );
    assertEquals(differs, expected, `token ${token}`);
    // The other sequence.
    assertEquals(before.subarray(sequence * hidden), after.subarray(sequence * hidden));
  }
});

Deno.test("a segment has at most 256 tokens, and a sequence at least four segments if it can", () => {
  const lengths = [1, 2, 4, 5, 13, 128, 1024, 1025, 4096].map((sequence) => [
    segmentLength(sequence),
    segmentCount(sequence),
  ]);
  assertEquals(lengths, [
    ...[[1, 1], [1, 2], [1, 4], [2, 3], [4, 4]],
    ...[[32, 4], [256, 4], [256, 5], [256, 16]],
  ]);
});

Deno.test("a layer records the experts' weights in tokens, and shows them to an observer", async () => {
  using device = await openDevice({ seed: 5 });
  using state = new StepState(device, { experts: SIZES.experts });
  using layer = layerOf(device, SIZES, state);
  using _router = layer.router;
  const seen: Routing[] = [];
  state.begin();
  using tape = device.record();
  const x = tape.watch(device.normal([24, SIZES.hidden]));
  const { weights } = layer.forward(x, {
    sequence: SIZES.sequence,
    onRouting: (_, routing) => seen.push(routing),
  });
  const rows = await read(weights);
  const { counts, tokensWithoutExpert } = state.read().layers[0]!;
  const length = segmentLength(SIZES.sequence);
  const worth = Array.from(
    { length: SIZES.experts },
    (_, e) =>
      rows.reduce((sum, weight, i) => i % SIZES.experts === e ? sum + length * weight : sum, 0),
  );
  assertEquals([...counts], worth.map(Math.round));
  assertEquals(tokensWithoutExpert, 0);
  assertEquals(seen.length, 1);
  assertEquals(seen[0]!.gates.shape, [24, SIZES.experts]);
  const gates = await read(seen[0]!.gates);
  assertEquals(gates.slice(0, SIZES.experts), rows.slice(0, SIZES.experts));
  assertEquals(await seen[0]!.sparsity(), 0);
});

Deno.test("new tokens are merged by their own prompts' means", async () => {
  const { hidden, experts } = SIZES;
  using device = await openDevice({ seed: 5 });
  using router = new LoryRouter(device, { hidden, experts, deviation: 2 });
  using _scope = device.noGradient();
  const values = new Random("prompts").normal(4 * hidden);
  let kept: Tensor<"f32"> | null = null;
  const memory = { read: () => kept, keep: (state: Tensor<"f32">) => void (kept = state) };
  const prompts = { lengths: [0, 0], counts: [3, 1], scored: false, memory };
  const x = device.from(values, [4, hidden]);
  const { weights, networkOf } = router.merge(x, { generation: prompts });
  assertEquals([...await read(networkOf)], [0, 0, 0, 1]);
  const alone = router.merge(device.from(values.slice(3 * hidden), [1, hidden]));
  assertClose((await read(weights)).slice(experts), await read(alone.weights), "weights", 1e-6);

  const merge = (rows: number, generation: object) =>
    router.merge(device.normal([rows, hidden]), { generation: { ...prompts, ...generation } });
  const next = merge(2, { lengths: [3, 1], counts: [1, 1] });
  assertEquals(await read(next.weights), await read(weights));
  assertEquals([...await read(next.networkOf)], [0, 1]);
  // A third begins beside the first, in the place of the second.
  const begun = router.merge(x, { generation: { ...prompts, lengths: [4, 0], counts: [1, 3] } });
  const [first, second] = [await read(weights), await read(begun.weights)];
  assertEquals(second.slice(0, experts), first.slice(0, experts));
  assertEquals(await read(kept!), second);

  const three = { lengths: [3, 1, 1], counts: [1, 1, 1] };
  assertThrows(() => merge(3, three), ShapeMismatchError, "expected [3, 3]");
  assertThrows(() => merge(3, { counts: [1, 1] }), ShapeMismatchError, "2 tokens in all");
  assertThrows(() => merge(3, { lengths: [3, 1], counts: [1, 2] }), ConfigError, "single tokens");
  assertThrows(() => merge(4, { scored: true }), ConfigError, "model.score()");
  kept = null;
  assertThrows(() => merge(2, { lengths: [3, 1], counts: [1, 1] }), TypeError, "prefill");
});

Deno.test("a merging layer refuses routers that do not merge, and weights of another shape", async () => {
  using device = await openDevice({ seed: 5 });
  using topk = new TopKRouter(device, { hidden: 4, experts: 3 });
  const build = (router: unknown) =>
    new MergedExperts(device, { router: router as MergingRouter, hidden: 4, width: 3 });
  assertThrows(() => build(topk), ConfigError, "such as a LoryRouter");
  assertThrows(() => build(undefined), ConfigError, "router is undefined");
  using router = new LoryRouter(device, { hidden: 4, experts: 3 });
  using layer = new MergedExperts(device, {
    hidden: 4,
    width: 3,
    router: {
      ...{ hidden: 4, experts: 3, active: 1 },
      merge: (x) => ({ ...router.merge(x), weights: device.full([4, 2], 0.5) }) as never,
      route: (x) => router.route(x),
      parameters: (): Iterable<Parameter> => [],
      [Symbol.dispose]() {},
    },
  });
  using _scope = device.scope();
  const forward = () => layer.forward(device.normal([8, 4]));
  assertThrows(forward, ShapeMismatchError, "weights of shape [4, 2]");
  assertNotEquals(router.weight.name, "");
});
