import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { aimWeights, reluShifts, topkShifts } from "../../bench/models/aim.ts";
import { BenchLayer } from "../../bench/models/layer.ts";
import { BenchModel } from "../../bench/models/model.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { openDevice } from "../tensor/open_device.ts";

/** 96 tokens of 16 numbers around 1, and weights for 4 experts. */
function someInput() {
  const random = new Random("aim");
  return {
    x: random.normal(96 * 16, { mean: 1, scale: 0.3 }),
    w: random.normal(16 * 4),
    hidden: 16,
    experts: 4,
  };
}

/** The tokens' logits, straight from the definition. */
function logitsOf(x: Float32Array, w: Float32Array): number[][] {
  return Array.from({ length: 96 }, (_, t) =>
    Array.from({ length: 4 }, (_, e) => {
      let sum = 0;
      for (let d = 0; d < 16; d++) sum += x[t * 16 + d]! * w[d * 4 + e]!;
      return sum;
    }));
}

Deno.test("aimed ReLU weights give every expert its number of tokens", () => {
  const input = someInput();
  for (const rows of [0, 1, 24, 54, 96]) {
    const logits = logitsOf(input.x, aimWeights(input, (before) => reluShifts(before, rows)));
    for (let e = 0; e < 4; e++) {
      assertEquals(logits.filter((token) => token[e]! > 0).length, rows);
    }
  }
});

Deno.test("aimed TopK weights spread the tokens evenly", () => {
  const input = someInput();
  const loads = (w: Float32Array): number[] => {
    const counts = [0, 0, 0, 0];
    for (const token of logitsOf(input.x, w)) counts[token.indexOf(Math.max(...token))]! += 1;
    return counts;
  };
  // All tokens point roughly the same way, so a few experts get most of them.
  assert(Math.max(...loads(input.w)) > 48);
  for (const load of loads(aimWeights(input, (before) => topkShifts(before, 1)))) {
    assertAlmostEquals(load, 24, 4);
  }
});

Deno.test("aiming refuses tokens without a common direction", () => {
  const input = someInput();
  input.x.fill(-1, 0, 16);
  assertThrows(() => aimWeights(input, (before) => reluShifts(before, 5)), RangeError, "token 0");
});

Deno.test("a bench's layer routes exactly the requested share", async () => {
  using device = await openDevice();
  const sizes = { tokens: 128, hidden: 16, width: 8, experts: 8, active: 1 };
  for (const density of [1 / 8, 0.5, 1]) {
    using layer = new BenchLayer(device, { ...sizes, router: "relu", density });
    layer.run("forward and backward");
    assertEquals(await layer.rows(), density * 128 * 8);
  }
  using layer = new BenchLayer(device, { ...sizes, router: "topk", density: 1 / 8 });
  assertEquals(await layer.rows(), 128);
});

Deno.test("a bench's model swaps routers, and every step of one router is the same", async () => {
  using device = await openDevice();
  const config = parseConfig({
    preset: "pico",
    data: { batch: 2, micro_batch: 2, sequence: 64 },
  });
  const before = device.statistics().blocks;
  {
    using model = new BenchModel(device, {
      config,
      aims: {
        moe: { router: "topk", density: 1 / 8 },
        half: { router: "relu", density: 0.5 },
        sparse: { router: "relu", density: 1 / 8 },
      },
      optimizer: true,
    });
    const sparsities: number[] = [];
    const losses: number[] = [];
    for (const name of ["moe", "half", "sparse", "half"] as const) {
      model.use(name);
      model.forward();
      model.forwardAndBackward();
      const { sparsity, loss, notFinite } = model.finishStep();
      assertEquals(notFinite, false);
      sparsities.push(sparsity);
      losses.push(loss);
    }
    assertEquals(sparsities, [0.875, 0.5, 0.875, 0.5]);
    assertEquals(losses[3], losses[1]);
  }
  assertEquals(device.statistics().blocks, before);
});
