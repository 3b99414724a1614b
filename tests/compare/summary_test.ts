import { assertAlmostEquals, assertEquals } from "@std/assert";
import { compareCharts } from "../../lib/compare/charts.ts";
import { bandOf, loadCurve, lossCurve } from "../../lib/compare/curves.ts";
import type { CompareRow } from "../../lib/compare/plan.ts";
import { type RunOutcome, summarize } from "../../lib/compare/summary.ts";
import { finished, resultOf } from "./runs.ts";

function row(label: string, over: Partial<CompareRow> = {}): CompareRow {
  const usual: CompareRow = {
    ...{ label, name: label, cell: "", isa: null, target: 0.75, baseline: "topk", matched: null },
    causal: "all",
  };
  return { ...usual, ...over };
}

const ROWS = [row("topk", { baseline: null }), row("relu"), row("dense")];
const OUTCOMES: readonly RunOutcome[] = [
  finished("topk", 0, resultOf(1.5)),
  finished("topk", 1, resultOf(1.7)),
  finished("relu", 0, resultOf(1.25)),
  finished("relu", 1, resultOf(1.35)),
  finished("relu", 2, resultOf(9)),
  { row: "dense", seed: 0, folder: null, result: null, failure: "diverged" },
];

Deno.test("a row is a mean over its seeds, and a difference over those of both", () => {
  const [topk, relu, dense] = summarize({ rows: ROWS }, OUTCOMES);
  assertEquals(topk!.figures!.difference, null);
  assertAlmostEquals(topk!.figures!.valid_loss.mean, 1.6, 1e-12);
  assertAlmostEquals(topk!.figures!.valid_loss.standard_error!, 0.1, 1e-12);
  assertEquals(relu!.seeds, [0, 1, 2]);
  const difference = relu!.figures!.difference!;
  // -0.25 and -0.35: seed 2 has no counterpart.
  assertEquals([difference.n, difference.baseline], [2, "topk"]);
  assertAlmostEquals(difference.mean, -0.3, 1e-12);
  assertAlmostEquals(difference.interval![0], -0.3 - 12.7062 * 0.05, 1e-4);
  assertEquals(dense!.figures, null);
  assertEquals(dense!.failures, [{ seed: 0, reason: "diverged" }]);
});

Deno.test("routing is summarized over the seeds that settled", () => {
  const routing = resultOf(1).routing!;
  const outcomes = [0.01, 0.07].map((sparsity_deviation, seed) =>
    finished("relu", seed, {
      ...resultOf(1),
      routing: { ...routing, sparsity_deviation, settled: seed === 0 ? 8 : null },
    })
  );
  const [relu] = summarize({ rows: [row("relu")] }, outcomes);
  assertAlmostEquals(relu!.figures!.routing!.sparsity_deviation, 0.05, 1e-12);
  assertEquals(relu!.figures!.routing!.settled!.n, 1);
  const none = summarize({ rows: [row("dense")] }, [
    finished("dense", 0, { ...resultOf(1), routing: null }),
  ]);
  assertEquals(none[0]!.figures!.routing, null);
});

Deno.test("a band is the mean over seeds at common steps and at the ends", () => {
  const one = [[10, 3], [20, 2], [30, 1]], two = [[10, 5], [25, 9], [32, 3]];
  const curves = [one, two].map((curve) =>
    curve.map(([step, value]) => ({ step: step!, x: step!, value: value! }))
  );
  assertEquals(bandOf(curves), [
    { x: 10, value: 4, low: 3, high: 5 },
    { x: 31, value: 2, low: 1, high: 3 },
  ]);
  assertEquals(bandOf([]), []);
  assertEquals(bandOf([curves[0]!.slice(0, 1)]), [{ x: 10, value: 3, low: 3, high: 3 }]);
  assertEquals(lossCurve(resultOf(1), "flops").map(({ x }) => x), [1e9, 2e9]);
  // Busiest first, mean over layers: (1.5 + 1) / 2 and (0.5 + 1) / 2.
  assertEquals(loadCurve(resultOf(1)).map(({ value }) => value), [1.25, 0.75]);
});

Deno.test("charts exist as far as there are figures", () => {
  const names = (outcomes: readonly RunOutcome[], rows = ROWS): string[] =>
    compareCharts(summarize({ rows }, outcomes), outcomes).map(({ name }) => name);
  const all = ["loss-step", "loss-flops", "final-loss", "difference", "sparsity", "load"];
  assertEquals(names(OUTCOMES), all);
  assertEquals(names([]), []);
  const dense = [finished("dense", 0, { ...resultOf(1), routing: null })];
  assertEquals(names(dense, [row("dense")]), ["loss-step", "loss-flops", "final-loss"]);
});
