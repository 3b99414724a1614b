import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { executedFlops, formulaFlops, parseConfig, type PresetName } from "../../lib/train/mod.ts";

function gflops(preset: PresetName, moe: object = {}): number {
  const config = parseConfig({ preset, moe });
  return formulaFlops(config.model, config.moe, 1024) / 1e9;
}

Deno.test("`formulaFlops()` reproduces the paper's GFLOPs per sequence", () => {
  assertAlmostEquals(gflops("182m"), 995.36, 0.005);
  assertAlmostEquals(gflops("469m"), 2873.33, 0.005);
  assertAlmostEquals(gflops("978m"), 5991.48, 0.005);
});

Deno.test("`formulaFlops()` is the same for any number of experts, any granularity, and a dense model", () => {
  const reference = gflops("182m");
  assertEquals(gflops("182m", { experts: 128 }), reference);
  assertEquals(gflops("182m", { granularity: 8 }), reference);
  assertEquals(gflops("182m", { router: "dense" }), reference);
});

Deno.test("`formulaFlops()` adds 18 h f per token for each active expert", () => {
  const more = gflops("182m", { active: 3 }) - gflops("182m");
  assertAlmostEquals(more * 1e9, 2 * 18 * 768 * 3072 * 12 * 1024, 1e6);
});

Deno.test("`executedFlops()` counts every product of a tiny model", () => {
  const model = { layers: 2, hidden: 8, heads: 2, groups: 1, ffn: 32, vocabulary: 10 };
  const moe = { router: "relu", experts: 4, granularity: 2 } as const;
  const flops = executedFlops(model, moe, { sequences: 3, sequence: 5, rows: [7, 9] });
  // 15 tokens, a key head of 4: [8, 16] in, [8, 8] out; three products of each.
  assertEquals(flops.projections, 3 * 2 * 15 * (8 * 16 + 8 * 8) * 2);
  // 15 pairs per sequence and head, 7 products of head size 4.
  assertEquals(flops.attention, 3 * 15 * 2 * 7 * 2 * 4 * 2);
  assertEquals(flops.routers, 3 * 2 * 15 * 8 * 8 * 2);
  // Width 16: [8, 32] and [16, 8], three products of each.
  assertEquals(flops.experts, 3 * 2 * 16 * (8 * 32 + 16 * 8));
  assertEquals(flops.head, 3 * 2 * 15 * 8 * 10);
  const { total, ...parts } = flops;
  assertEquals(total, Object.values(parts).reduce((sum, part) => sum + part, 0));
});

Deno.test("`executedFlops()` counts merging, and Lory's router, once per segment", () => {
  const model = { layers: 2, hidden: 8, heads: 2, groups: 1, ffn: 32, vocabulary: 10 };
  const moe = { router: "lory", experts: 4, granularity: 1 } as const;
  const flops = executedFlops(model, moe, { sequences: 3, sequence: 13, rows: [39, 39] });
  // Segments of 4, 4, 4 and 1.
  assertEquals(flops.routers, 3 * 2 * 3 * 4 * 8 * 4 * 2);
  const weights = 3 * 8 * 32;
  assertEquals(flops.experts, 6 * weights * (2 * 39) + 6 * weights * 4 * (2 * 3 * 4));
});

Deno.test("`executedFlops()` is close to the formula when every token has k experts", () => {
  const { model, moe } = parseConfig({ preset: "182m" });
  const work = { sequences: 1, sequence: 1024, rows: Array(12).fill(1024) };
  const { projections, experts } = executedFlops(model, moe, work);
  const formula = 12 * 1024 * 12 * 768 ** 2;
  assertAlmostEquals(projections, formula * (1 + 4 / 12), 1);
  assertAlmostEquals(experts, formula * 6, 1);
});

Deno.test("`executedFlops()` counts no router for a dense model", () => {
  const { model, moe } = parseConfig({ preset: "pico", moe: { router: "dense" } });
  assertEquals(executedFlops(model, moe, { sequences: 1, sequence: 8, rows: [8, 8] }).routers, 0);
});

Deno.test("`executedFlops()` requires one count per layer", () => {
  const { model, moe } = parseConfig({});
  assertThrows(
    () => executedFlops(model, moe, { sequences: 1, sequence: 8, rows: [8] }),
    RangeError,
    "expected a count of rows for each of 4 layers",
  );
});
