import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { countParameters, estimateMemory, parseConfig } from "../../lib/train/mod.ts";

Deno.test("`estimateMemory()` counts 16 bytes a parameter, activations and scratch", () => {
  const config = parseConfig({});
  const { dense } = estimateMemory(config);
  const { total } = countParameters(config.model, config.moe);
  assertEquals(dense.weights + dense.gradients + dense.moments, 16 * total);
  assertEquals(dense.total, 16 * total + dense.activations + dense.scratch);
});

Deno.test("`estimateMemory()` takes E·T rows in the dense stage and k·T in the sparse one", () => {
  const config = parseConfig({ moe: { active: 2, granularity: 2 } });
  const { dense, sparse } = estimateMemory(config);
  assertEquals([dense.rows, sparse.rows], [16 * 4096, 4 * 4096]);
  // The pre-activations are most of the difference: 2 W = 512 numbers a row and layer.
  const rows = dense.rows - sparse.rows;
  assertEquals(dense.activations - sparse.activations, 4 * 4 * rows * (512 + 2));
});

Deno.test("`estimateMemory()` depends on the micro-batch, not on the batch", () => {
  const one = estimateMemory(parseConfig({ data: { batch: 16, micro_batch: 8 } }));
  const two = estimateMemory(parseConfig({ data: { batch: 64, micro_batch: 8 } }));
  assertEquals(one, two);
  assert(one.dense.activations < estimateMemory(parseConfig({})).dense.activations);
});

Deno.test("`estimateMemory()` has one figure for routers that are sparse from the start", () => {
  for (const router of ["topk", "dense"]) {
    const { dense, sparse } = estimateMemory(parseConfig({ moe: { router } }));
    assertEquals(dense, sparse);
    assertEquals(sparse.rows, 4096);
  }
});

Deno.test("`estimateMemory()` meets the measured peaks of dense stages within a tenth", () => {
  for (const [preset, mebibytes] of [["pico", 141], ["nano", 773]] as const) {
    const { dense } = estimateMemory(parseConfig({ preset }));
    assertAlmostEquals(dense.total / 2 ** 20, mebibytes, mebibytes / 10);
  }
});

Deno.test("`estimateMemory()` takes the scratch of one expert at a time in large models", () => {
  const { scratch, rows } = estimateMemory(parseConfig({ preset: "182m" })).dense;
  assertEquals(scratch, 4 * (rows * 768 + 3 * 3072 * rows / 8 + 3 * 3072 * 768 + 4 * 16_384 * 768));
});
