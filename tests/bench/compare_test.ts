import { assertEquals, assertStringIncludes } from "@std/assert";
import { compareResults, comparisonReport } from "../../bench/harness/compare.ts";
import { someResults } from "./_results.ts";

const before = someResults({ same: 0.1, slower: 0.1, gone: 1 });
const after = someResults({ added: 1, slower: 0.4, same: 0.1 });

Deno.test("`compareResults()` gives new over old for the cases in both", () => {
  const { cases, gone, added } = compareResults(before, after);
  assertEquals(cases.map(({ name, ratio }) => [name, ratio]), [["slower", 4], ["same", 1]]);
  assertEquals([gone, added], [["gone"], ["added"]]);
});

Deno.test("`comparisonReport()` leads with the ratios and ends with their mean", () => {
  assertEquals(comparisonReport(before, after).split("\n"), [
    "Compared with 2026-11-25T12:00:00.000Z, Some(R) CPU @ 3.00GHz, 0123456789abcdef; " +
    "new / old medians, below 1 is faster",
    "| new / old | old ms | new ms | case                      |",
    "| --------: | -----: | -----: | ------------------------- |",
    "|     4.000 |    100 |    400 | slower                    |",
    "|     1.000 |    100 |    100 | same                      |",
    "|     2.000 |        |        | geometric mean of 2 cases |",
    "1 cases only in this run",
    "1 cases only in the older one",
  ]);
});

Deno.test("`comparisonReport()` says if machines differ and if there is nothing in common", () => {
  const other = someResults({ unknown: 1 }, {
    machine: { ...before.machine, name: "Another" },
  });
  const report = comparisonReport(other, after);
  assertStringIncludes(report, "The machines differ");
  assertStringIncludes(report, "No case is in both");
});
