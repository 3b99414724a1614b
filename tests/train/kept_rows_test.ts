import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Device } from "../../mod.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import {
  type ConfigLayer,
  estimateMemory,
  parseConfig,
  type StepMetrics,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { keptBudget, keptRows, KeptRowsPlan } from "../../lib/train/kept_rows_plan.ts";
import { layerRows } from "../../lib/train/layer_rows.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from(
  { length: 40 },
  (_, i) => `Document ${i} tells of ${i * i} words. `.repeat(30),
);

async function openTrainer(device: Device, config: TrainConfig): Promise<Trainer> {
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  return new Trainer(config, { device, corpus, tokenizer });
}

async function steps(layer: ConfigLayer, count: number): Promise<StepMetrics[]> {
  const config = parseConfig({ preset: "pico", data: { batch: 8 }, ...layer });
  using device = await openDevice({ seed: 3 });
  using trainer = await openTrainer(device, config);
  return Array.from({ length: count }, () => trainer.step());
}

for (const router of ["relu", "sparsemixer"] as const) {
  Deno.test(`training is the same bit for bit, however many rows are recomputed (${router})`, async () => {
    const figures = async (memory: ConfigLayer["memory"]) =>
      (await steps({ memory, moe: { router } }, 4)).map(({ loss, grad_norm, expert_load }) => ({
        loss,
        grad_norm,
        expert_load,
      }));
    const all = await figures({ recompute: "never" });
    assertEquals(await figures({ recompute: "always" }), all);
    // Between the two: room for some of the rows.
    assertEquals(await figures({ limit_gib: 0.04 }), all);
  });
}

Deno.test("a step's memory is within a twentieth of the estimate in both stages", async () => {
  // λ starts high enough to close gates at once, and moves fast.
  const layer = { moe: { lambda0: 1e-3, alpha: 1.5 }, data: { batch: 16 } };
  const metrics = await steps(layer, 70);
  using device = await openDevice();
  const { dense, sparse } = estimateMemory(parseConfig({ preset: "pico", ...layer }), { device });
  const first = metrics[0]!.memory_bytes;
  assert(Math.abs(first / dense.total - 1) < 0.05, `${first} for an estimate of ${dense.total}`);
  // Row counts vary from step to step; the estimate is for their mean.
  const settled = metrics.filter(({ sparsity }, i) => i > 30 && Math.abs(sparsity - 0.875) < 0.02);
  assert(settled.length > 3, "too few steps came near the target sparsity");
  const mean = settled.reduce((sum, { memory_bytes }) => sum + memory_bytes, 0) / settled.length;
  assert(Math.abs(mean / sparse.total - 1) < 0.05, `${mean} for an estimate of ${sparse.total}`);
});

Deno.test("a step that merges experts takes what the estimate says, and recomputes to the same bits", async () => {
  const layer: ConfigLayer = { moe: { router: "lory" }, data: { batch: 16 } };
  const metrics = await steps(layer, 3);
  const { dense, sparse } = estimateMemory(parseConfig({ preset: "pico", ...layer }));
  assertEquals(dense, sparse);
  const { memory_bytes, sparsity, expert_load } = metrics[0]!;
  assert(Math.abs(memory_bytes / dense.total - 1) < 0.1, `${memory_bytes} for ${dense.total}`);
  assertEquals(sparsity, 0);
  const sums = expert_load.map((shares) => shares.reduce((sum, share) => sum + share));
  assert(sums.every((sum) => Math.abs(sum - 1) < 1e-12));
  const again = await steps({ ...layer, memory: { recompute: "always" } }, 3);
  const figures = (lines: StepMetrics[]) =>
    lines.map(({ loss, loss_causal, loss_noncausal, grad_norm }) => ({
      ...{ loss, loss_causal, loss_noncausal, grad_norm },
    }));
  assertEquals(figures(again), figures(metrics));
  // Segments of a quarter of the sequence.
  for (const { loss, loss_causal, loss_noncausal } of metrics) {
    assertAlmostEquals((loss_noncausal! + 3 * loss_causal!) / 4, loss, 1e-5);
  }
});

Deno.test("a step that must recompute stays within the limit", async () => {
  const limit = 0.05;
  const [first] = await steps({ memory: { limit_gib: limit } }, 1);
  const [free] = await steps({}, 1);
  assert(free!.memory_bytes > limit * 2 ** 30, "the limit does not bind");
  assert(first!.memory_bytes <= limit * 2 ** 30 * 1.05, `${first!.memory_bytes} bytes`);
});

Deno.test("`keptRows()` divides a budget in proportion to the rows that layers route", () => {
  const config = parseConfig({ preset: "pico" });
  const { dense } = layerRows(config);
  assertEquals(keptRows(config, [dense, dense], Infinity), [dense, dense]);
  assertEquals(keptRows(config, [dense, dense], dense), [dense / 2, dense / 2]);
  assertEquals(keptRows(config, [dense, dense], -5), [0, 0]);
  const [more, less] = keptRows(config, [dense / 4, dense / 8], Infinity);
  assert(more! >= 1.25 * dense / 4 && more! < 1.3 * dense / 4);
  assert(less! >= 1.25 * dense / 8 && less! < 1.35 * dense / 8);
});

Deno.test("`keptRows()` keeps exactly what a router with a fixed number of rows needs", () => {
  const config = parseConfig({ preset: "pico", moe: { router: "topk", active: 2 } });
  const { dense, sparse } = layerRows(config);
  assertEquals(dense, sparse);
  assertEquals(keptRows(config, [sparse, sparse], Infinity), [sparse, sparse]);
});

Deno.test("`KeptRowsPlan` starts from open gates and then follows the routed rows", () => {
  const config = parseConfig({ preset: "pico" });
  const plan = new KeptRowsPlan(null, config, Infinity);
  const { dense, sparse } = layerRows(config);
  assertEquals(plan.total, 2 * dense);
  plan.expect([sparse, sparse]);
  assert(plan.total < dense);
});

Deno.test("`keptBudget()` is what a limit leaves after everything else", () => {
  const config = parseConfig({ preset: "pico" });
  const always = parseConfig({ preset: "pico", memory: { recompute: "always" } });
  const least = estimateMemory(always).dense.total;
  assertEquals(keptBudget(null, config, least), 0);
  assertEquals(keptBudget(null, config, least + 10 * 4 * 2 * config.model.ffn), 10);
});
