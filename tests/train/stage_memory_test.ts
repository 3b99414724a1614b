import { assert, assertEquals } from "@std/assert";
import { countParameters, estimateMemory, parseConfig } from "../../lib/train/mod.ts";

Deno.test("`estimateMemory()` counts 16 bytes per parameter, activations and scratch", () => {
  const config = parseConfig({});
  const { dense } = estimateMemory(config);
  const { total } = countParameters(config.model, config.moe);
  assertEquals(dense.weights + dense.gradients + dense.moments, 16 * total);
  assertEquals(dense.total, 16 * total + dense.activations + dense.scratch);
});

Deno.test("`estimateMemory()` assumes E·T rows in the dense stage and k·T in the sparse one", () => {
  const config = parseConfig({ moe: { active: 2, granularity: 2 } });
  const { dense, sparse } = estimateMemory(config);
  assertEquals([dense.rows, sparse.rows], [16 * 4096, 4 * 4096]);
  // The pre-activations are the difference: 2 W = 512 numbers per row and layer. The sparse stage
  // keeps a quarter more than its expected need.
  assertEquals([dense.kept_rows, sparse.kept_rows], [16 * 4096, 5 * 4096]);
  assertEquals(dense.activations - sparse.activations, 4 * 4 * 11 * 4096 * 512);
});

Deno.test("`estimateMemory()` depends on the micro-batch, not on the batch", () => {
  const one = estimateMemory(parseConfig({ data: { batch: 16, micro_batch: 8 } }));
  const two = estimateMemory(parseConfig({ data: { batch: 64, micro_batch: 8 } }));
  assertEquals(one, two);
  assert(one.dense.activations < estimateMemory(parseConfig({})).dense.activations);
});

Deno.test("`estimateMemory()` gives one figure for routers that are sparse from the start", () => {
  for (const router of ["topk", "dense", "sigmoid"]) {
    const { dense, sparse } = estimateMemory(parseConfig({ moe: { router } }));
    assertEquals(dense, sparse);
    assertEquals(sparse.rows, 4096);
  }
});

Deno.test("`estimateMemory()` knows both phases of a near-dense warmup", () => {
  const moe = { router: "topk", active: 2, granularity: 2, warmup_active: 6 };
  const { dense, sparse } = estimateMemory(parseConfig({ moe }));
  assertEquals([dense.rows, sparse.rows], [12 * 4096, 4 * 4096]);
  assertEquals([dense.kept_rows, sparse.kept_rows], [12 * 4096, 4 * 4096]);
  const shared = estimateMemory(parseConfig({ moe: { ...moe, shared: 1 } }));
  assertEquals([shared.dense.rows, shared.sparse.rows], [11 * 4096, 3 * 4096]);
});

Deno.test("`estimateMemory()` keeps fewer rows to stay within a limit", () => {
  const config = parseConfig({ preset: "182m", data: { micro_batch: 2 } });
  const limit = 15 * 2 ** 30;
  const { dense, sparse } = estimateMemory(config, { limit });
  assert(dense.kept_rows > 0 && dense.kept_rows < dense.rows);
  assert(dense.total <= limit && dense.total > 0.999 * limit);
  assertEquals(sparse, estimateMemory(config).sparse);
});
