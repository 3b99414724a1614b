import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { flopsOfStep, readRunResult } from "../../lib/compare/run_result.ts";
import { executedFlops, findRun, JsonlSink, parseConfig } from "../../lib/train/mod.ts";
import { stepOf, writeRun } from "../plot/runs.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

Deno.test("a run's figures are those of its second half", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 40, domains: ["books", "code"] });
  const { config } = findRun(path);
  const result = readRunResult(path, config);
  assertEquals([result.steps, result.flops, result.seconds], [40, 40 * 2e7, 0.4]);
  assertEquals(result.validations.map(({ step, flops }) => [step, flops]), [
    [10, 2e8],
    [20, 4e8],
    [30, 6e8],
    [40, 8e8],
  ]);
  assertAlmostEquals(result.valid_loss, 5 / Math.sqrt(40), 1e-12);
  assertEquals(result.valid_loss_by_domain, { books: 1, code: 2 });
  assertEquals(result.tokens_per_second, 1020.5);
  const routing = result.routing!;
  // Half of the gates are open to step 20, a quarter after it.
  assertEquals([routing.sparsity, routing.sparsity_deviation], [0.75, 0]);
  assertEquals([routing.settled, routing.imbalance, routing.dead_experts], [21, 1, 0]);
  assertEquals(routing.sparsity_curve.length, 40);
  assertEquals(routing.load, [Array(4).fill(0.25), Array(4).fill(0.25)]);
});

Deno.test("load is that of all rows, whatever steps they fell in", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 1 });
  Deno.removeSync(`${path}/metrics.jsonl`);
  const { config: { data, ...rest } } = findRun(path);
  const config = { ...rest, data, steps: 4 };
  const pairs = data.batch * data.sequence * 4;
  const write = (sink: JsonlSink, step: number, counts: number[][]): void => {
    const rows = counts.map((layer) => layer.reduce((sum, count) => sum + count, 0));
    sink.write({
      ...stepOf(step),
      sparsity_per_layer: rows.map((count) => 1 - count / pairs),
      expert_load: counts.map((layer, i) => layer.map((count) => count / Math.max(rows[i]!, 1))),
    });
  };
  {
    using sink = new JsonlSink(`${path}/metrics.jsonl`);
    write(sink, 1, [[0, 0, 0, 9], [1, 1, 1, 1]]);
    write(sink, 2, [[0, 0, 0, 9], [1, 1, 1, 1]]);
    // A closed layer, and a step with few rows beside one with many.
    write(sink, 3, [[100, 60, 20, 20], [0, 0, 0, 0]]);
    write(sink, 4, [[0, 0, 4, 0], [0, 0, 0, 0]]);
    sink.write({ step: 4, valid_loss: 1, valid_bits_per_byte: 1 });
  }
  const { load, imbalance, worst_imbalance, dead_experts } = readRunResult(path, config).routing!;
  assertEquals(load, [[100, 60, 24, 20].map((count) => count / 204), [0, 0, 0, 0]]);
  assertAlmostEquals(imbalance!, 400 / 204, 1e-12);
  assertAlmostEquals(worst_imbalance!, 400 / 204, 1e-12);
  // Of the last 50 steps, not only of those in the second half.
  assertEquals(dead_experts, 0);
});

Deno.test("dense runs have no routing, and TopK never settles", () => {
  using folder = new TemporaryFolder();
  const read = (router: "dense" | "topk"): ReturnType<typeof readRunResult> => {
    const path = writeRun(`${folder.path}/${router}`, { router });
    return readRunResult(path, findRun(path).config);
  };
  assertEquals(read("dense").routing, null);
  assertEquals(read("topk").routing!.settled, null);
});

Deno.test("a run that is not at its end is refused", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 35 });
  const { config } = findRun(path);
  // Validations are at multiples of 10.
  assertThrows(() => readRunResult(path, config), TypeError, "expected both at step 35");
  assertThrows(() => readRunResult(path, { ...config, steps: 40 }), TypeError, "ends at step 35");
});

Deno.test("a run that lacks a step, or has one twice, is refused", () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 30 });
  const file = `${path}/metrics.jsonl`;
  const { config } = findRun(path);
  const lines = Deno.readTextFileSync(file).split("\n");
  const at = lines.findIndex((line) => line.startsWith(`{"step":17,`));
  for (
    const [count, more, message] of [
      [1, [], "has step 18 after step 16, expected 17; remove"],
      [0, [lines[at]!], "has step 17 after step 17, expected 18"],
    ] as const
  ) {
    Deno.writeTextFileSync(file, lines.toSpliced(at, count, ...more).join("\n"));
    assertThrows(() => readRunResult(path, config), TypeError, message);
  }
});

Deno.test("a step's FLOPs come back exactly from their rate", () => {
  const { model, moe, data } = parseConfig({ preset: "nano" });
  for (const [rows, ms] of [[4097, 7.3], [30011, 1234.567891], [1, 0.001]] as const) {
    const work = { sequences: data.batch, sequence: data.sequence, rows: Array(4).fill(rows) };
    const { total } = executedFlops(model, moe, work);
    const line = { ...stepOf(1), ms, gflops_executed: total * (1e-6 / ms) };
    assertEquals(flopsOfStep(line), total);
  }
});
