import { assertEquals, assertThrows } from "@std/assert";
import { buildModel } from "../../lib/model/build_model.ts";
import { KeptRowsPlan } from "../../lib/train/kept_rows_plan.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import {
  ConfigError,
  type Device,
  meanSquaredError,
  MoE,
  read,
  recompute,
  SparseMixerRouter,
  type Tensor,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";

/** Output and gradient of a layer that draws, with and without recomputation. */
async function trained(device: Device, isRecomputed: boolean): Promise<number[][]> {
  using router = new SparseMixerRouter(device, { hidden: 8, experts: 4 });
  using layer = new MoE(device, { router, hidden: 8, width: 4, deviation: 0.5 });
  const x = device.normal([16, 8]);
  using tape = device.record();
  tape.watch(x);
  const run = (states: Tensor<"f32", readonly [16, 8]>) => layer.forward(states).output;
  const output = isRecomputed ? recompute(run, x) : run(x);
  tape.backward(meanSquaredError(output, x));
  return [[...await read(output)], [...await read(tape.gradient(x))]];
}

Deno.test("a recomputed layer trains in both of its passes, and draws the same", async () => {
  const results = [];
  for (const isRecomputed of [false, true]) {
    using device = await openDevice({ seed: 5 });
    results.push(await trained(device, isRecomputed));
  }
  const [[output, gradient], [again, gradientAgain]] = results as [number[][], number[][]];
  assertEquals(output, again);
  // The sum of x's two gradients is taken in another order.
  assertClose(gradientAgain!, gradient!, "gradient", 1e-6);
});

const SIZES = {
  preset: "pico",
  model: { layers: 2, hidden: 16, heads: 2, vocabulary: 300 },
} as const;

Deno.test("nextLogits() routes a prompt as prefill() does", async () => {
  using device = await openDevice({ seed: 1 });
  using built = buildModel(device, parseConfig({ ...SIZES, moe: { router: "lory" } }));
  using cache = built.model.openCache(1, 8);
  using _scope = device.noGradient();
  const ids = [1, 2, 3, 4, 5, 6, 7];
  const next = await read(built.model.nextLogits(device.tokens(ids)));
  assertEquals([...next], [...await read(built.model.prefill([ids], cache))]);
});

Deno.test("nextLogits() of a router that is not causal is refused", async () => {
  using device = await openDevice({ seed: 1 });
  using built = buildModel(device, parseConfig({ ...SIZES, moe: { router: "expert-choice" } }));
  using _scope = device.noGradient();
  assertThrows(() => built.model.nextLogits(device.tokens([1, 2, 3])), ConfigError);
});

Deno.test("kept rows are whole where a router's share of the tokens is not", async () => {
  using device = await openDevice({ seed: 1 });
  const config = parseConfig({ preset: "pico", moe: { router: "expert-choice", capacity: 1.1 } });
  const { layers } = new KeptRowsPlan(device, config, 2 ** 34);
  assertEquals(layers.map(({ rows }) => rows), [2253, 2253]);
});
