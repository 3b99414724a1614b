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
