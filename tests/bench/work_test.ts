import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { allCases } from "../../bench/groups/mod.ts";
import type { Work } from "../../bench/harness/case.ts";
import { formulaWork, modelWork } from "../../bench/models/work.ts";
import { parseConfig } from "../../lib/train/mod.ts";

const CASES = allCases();

function workOf(group: string, name: string): Work {
  const found = CASES.find((benchCase) => benchCase.group === group && benchCase.name === name);
  assert(found, `${group} has no case "${name}"`);
  return found;
}

function flopsOf(group: string, name: string): number {
  return workOf(group, name).flops;
}

// nano: 4096 tokens, hidden 128, 256 fused columns, 8 experts of 512, 4 heads of 32, 257 tokens.

Deno.test("matrix products count two operations per inner step", () => {
  assertEquals(flopsOf("gemm", "nano gemm [4096,128]x[128,256]"), 268_435_456);
  assertEquals(flopsOf("router", "nano relu_router_forward [4096,128]x[128,8]"), 8_388_608);
  const head = "[4096,128]x[128,257]";
  assertEquals(flopsOf("cross entropy", `nano cross_entropy_forward ${head}`), 269_484_032);
  assertEquals(flopsOf("cross entropy", `nano cross_entropy_gradient ${head}`), 3 * 269_484_032);
});

Deno.test("the plan moves the mask, both offsets and two ints per row", () => {
  const { flops, bytes } = workOf("dispatch", "nano dispatch_plan [4096,8] density 1 spare 0");
  assertEquals(flops, 0);
  assertEquals(bytes, 4 * (4096 + (4 + 9) + 4097 + 2 * 32_768));
});

Deno.test("the regularisation counts a product and a sum per gate", () => {
  assertEquals(flopsOf("regularization", "nano relu_router_gradient [4096,8] load k=1"), 65_536);
});

Deno.test("experts count three products per routed row forward, six backward", () => {
  // 512 tokens by 8 experts: 4096 rows.
  const layer = "[512,128] E=8 W=512 density 1";
  assertEquals(flopsOf("experts", `nano experts_forward ${layer}`), 1_610_612_736);
  assertEquals(flopsOf("experts", `nano experts_gradient ${layer}`), 2 * 1_610_612_736);
  const rows = flopsOf("combine", "nano experts_forward [4096,128] E=8 W=1 density 0.125") / 768;
  assert(Number.isInteger(rows) && Math.abs(rows / 4096 - 1) < 0.05, `${rows} rows`);
});

Deno.test("attention counts the causal half: two products forward, five backward", () => {
  // 64 heads of 256 · 257 / 2 pairs.
  const sizes = "B=16 S=256 4/2 heads of 32";
  assertEquals(flopsOf("attention", `nano attention_forward ${sizes}`), 269_484_032);
  assertEquals(flopsOf("attention", `nano attention_gradient ${sizes}`), 673_710_080);
});

Deno.test("the optimizer reads four numbers per parameter and writes three", () => {
  const name = "nano adamw [8,128,1536], 1 parameters, 1 steps, clip 1";
  assertEquals(workOf("optimizer", name).bytes, 28 * 1_572_864);
});

Deno.test("a layer counts its router and its experts", () => {
  const name = "nano MoE relu forward and backward [4096,128] E=8 W=512 density 0.125";
  assertEquals(flopsOf("layer", name), 4_831_838_208 + 25_165_824);
});

Deno.test("a step counts every product of the model, and 14 operations per parameter", () => {
  const passes = 4_831_838_208 + 3_772_776_448 + 100_663_296 + 19_327_352_832 + 808_452_096;
  const name = (pass: string) => `nano relu, stage III, ${pass} L=4 B=16 S=256 E=8`;
  assertEquals(flopsOf("step", name("forward and backward")), passes);
  // Parameters: two embeddings, attention, routers, experts, norms.
  const parameters = 2 * 257 * 128 + 4 * 49_152 + 4 * 1024 + 4 * 1_572_864 + 9 * 128;
  assertEquals(flopsOf("step", name("step")), passes + 14 * parameters);
  assertEquals(workOf("step", name("step")).bytes, 40 * parameters);
});

Deno.test("`modelWork()` counts recomputed pre-activations again", () => {
  const config = parseConfig({ preset: "nano" });
  const { flops } = modelWork(config, 1, "forward and backward");
  const none = parseConfig({ preset: "nano", memory: { recompute: "always" } });
  // Four layers of 32,768 rows: [1, 128] x [128, 1024] each.
  const again = 4 * 32_768 * 2 * 128 * 1024;
  assertEquals(modelWork(none, 1, "forward and backward").flops, flops + again);
});

Deno.test("`formulaWork()` gives the paper's figure, and a third of it forward", () => {
  const config = parseConfig({ preset: "182m", data: { micro_batch: 2 } });
  assertAlmostEquals(formulaWork(config, "forward and backward") / 1e9, 2 * 995.36, 0.01);
  assertAlmostEquals(formulaWork(config, "forward") / 1e9, 2 * 995.36 / 3, 0.01);
});

Deno.test("every case has a unique name, and bytes", () => {
  const keys = CASES.map(({ group, name }) => `${group}: ${name}`);
  assertEquals(new Set(keys).size, keys.length);
  assertEquals(CASES.filter(({ flops, bytes }) => !(bytes > 0 && flops >= 0)), []);
});
