/** The table of a comparison, from given results. */

import { assert, assertEquals, assertFalse } from "@std/assert";
import { remarks, tableCells } from "../../../cli/compare/table.ts";
import type { CompareRow } from "../../../lib/compare/plan.ts";
import { type CompareResults, compareResults } from "../../../lib/compare/results.ts";
import { type RunOutcome, summarize } from "../../../lib/compare/summary.ts";
import { finished, resultOf } from "../../compare/runs.ts";

function row(label: string, over: Partial<CompareRow> = {}): CompareRow {
  const usual: CompareRow = {
    ...{ label, name: label, cell: "", isa: null, target: 0.75, baseline: null, matched: null },
    causal: "all",
  };
  return { ...usual, ...over };
}

function comparison(
  rows: readonly CompareRow[],
  outcomes: readonly RunOutcome[],
  over: Partial<CompareResults> = {},
): CompareResults {
  const seeds = [...new Set(outcomes.map(({ seed }) => seed))];
  const context = { command: "", match: "steps" as const, seeds, machine: {}, notices: [] };
  const table = summarize({ rows }, outcomes);
  return { ...compareResults({ ...context, configs: {} }, table, outcomes), ...over };
}

/** The cells of a column, top down; undefined if there is none. */
function column(results: CompareResults, name: string): (string | undefined)[] | undefined {
  const { head, rows } = tableCells(results);
  const index = head.indexOf(name);
  return index < 0 ? undefined : rows.map((cells) => cells[index]);
}

Deno.test("Lory is compared on the tokens beyond its first segment, like all others", () => {
  const rows = [
    row("topk"),
    row("lory", { causal: "some" }),
    row("ec", { causal: "none" }),
    row("old"),
  ];
  const outcomes = [
    finished("topk", 0, resultOf(2, { valid_loss_later: 1.9 })),
    finished("lory", 0, resultOf(1.8, { valid_loss_later: 1.85 })),
    finished("ec", 0, resultOf(1.5, { valid_loss_later: 1.4 })),
    finished("old", 0, resultOf(2, { valid_loss_later: null })),
  ];
  const results = comparison(rows, outcomes);
  assertEquals(column(results, "loss beyond first segment"), ["1.9000", "1.8500", "–", "–"]);
  assert(remarks(results).some((text) => text.includes("from token min(256, ⌈S/4⌉)")));
  const without = comparison([rows[0]!], [outcomes[0]!]);
  assertEquals(column(without, "loss beyond first segment"), undefined);
  assertFalse(remarks(without).some((text) => text.includes("first segment")));
});

Deno.test("the step of settling tells how many seeds settled", () => {
  const routing = resultOf(1).routing!;
  const run = (seed: number, settled: number | null): RunOutcome =>
    finished("relu", seed, resultOf(1, { routing: { ...routing, settled } }));
  const cell = (...settled: (number | null)[]): unknown =>
    column(
      comparison([row("relu")], settled.map((step, seed) => run(seed, step))),
      "settled at step",
    );
  assertEquals(cell(8, null, 10, null), ["9 ± 1 (2 of 4)"]);
  assertEquals(cell(9, null), ["9 (1 of 2)"]);
  assertEquals(cell(8, 10), ["9 ± 1"]);
  assertEquals(cell(null, null), ["–"]);
});

Deno.test("only a row that others are compared with is the baseline", () => {
  const outcomes = ["topk", "relu", "relu (avx2)"].map((label) => finished(label, 0, resultOf(1)));
  const cells = (...rows: CompareRow[]): unknown =>
    column(comparison(rows, outcomes), "difference to baseline");
  assertEquals(cells(row("topk"), row("relu", { baseline: "topk" })), [
    "baseline",
    "+0.0000 (1 seed)",
  ]);
  assertEquals(cells(row("topk"), row("relu")), ["–", "–"]);
  const repeated = row("relu (avx2)", { baseline: "relu", isa: "avx2" });
  assertEquals(cells(row("relu"), repeated), ["–", "+0.0000 (1 seed)"]);
});

Deno.test("at equal compute, every row whose FLOPs are off is told", () => {
  const rows = [
    row("topk", { matched: "relu" }),
    row("soft", { matched: "relu" }),
    row("relu"),
    row("relu (avx2)", { isa: "avx2", baseline: "relu" }),
    row("plain"),
    row("relu experts=4", { cell: "experts=4" }),
  ];
  const flops = [2.01e9, 2.1e9, 2e9, 2.2e9, 2.5e9, 9e9];
  const outcomes = rows.map(({ label }, i) =>
    finished(label, 0, resultOf(1, { flops: flops[i]! }))
  );
  const told = (match: "steps" | "compute"): string[] =>
    remarks(comparison(rows, outcomes, { match })).filter((text) => text.includes(" executed "));
  assertEquals(told("compute").slice(1), [
    "soft executed 5.0 % more FLOPs than relu.",
    "plain executed 25.0 % more FLOPs than relu.",
  ]);
  assertEquals(told("steps"), []);
});
