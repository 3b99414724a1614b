import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { learningRate } from "../../lib/train/mod.ts";

const OPTIONS = { lr: 1e-3, warmup: 30, steps: 500, final_ratio: 0.1 };

Deno.test("`learningRate()` rises linearly from 0 to the peak", () => {
  assertEquals(learningRate(0, OPTIONS), 0);
  assertAlmostEquals(learningRate(15, OPTIONS), 5e-4, 1e-18);
  assertEquals(learningRate(30, OPTIONS), 1e-3);
});

Deno.test("`learningRate()` falls along half a cosine to the final ratio and stays there", () => {
  assertAlmostEquals(learningRate(265, OPTIONS), 5.5e-4, 1e-15);
  assertAlmostEquals(learningRate(500, OPTIONS), 1e-4, 1e-18);
  assertAlmostEquals(learningRate(900, OPTIONS), 1e-4, 1e-18);
  for (let step = 31; step <= 500; step++) {
    assert(learningRate(step, OPTIONS) < learningRate(step - 1, OPTIONS));
  }
});

Deno.test("`learningRate()` handles no warmup, and a warmup longer than the run", () => {
  assertEquals(learningRate(0, { ...OPTIONS, warmup: 0 }), 1e-3);
  assertEquals(learningRate(20, { ...OPTIONS, warmup: 40, steps: 20 }), 5e-4);
  assertEquals(learningRate(40, { ...OPTIONS, warmup: 40, steps: 40 }), 1e-3);
});
