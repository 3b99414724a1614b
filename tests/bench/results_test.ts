import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { comparisonReport } from "../../bench/harness/compare.ts";
import { machineSlug } from "../../bench/harness/machine.ts";
import {
  caseTable,
  finishResults,
  openDestination,
  resultsPath,
} from "../../bench/harness/report.ts";
import {
  caseResult,
  parseResults,
  readResults,
  writeResults,
} from "../../bench/harness/results.ts";
import { ConfigError } from "../../lib/errors.ts";
import { someResults } from "./_results.ts";

Deno.test("results round-trip through their file", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/new/results.json`;
    const paper = { ...someResults({ a: 0.1 }).cases[0]!, formula_flops: 3e9 };
    const results = someResults({ b: 0.25 });
    const written = { ...results, commit: null, cases: [...results.cases, paper] };
    writeResults(path, written);
    assertEquals(readResults(path), written);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a results file passes `deno fmt --check`", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/results.json`;
    writeResults(path, someResults({ "gemm [3,5]x[5,7]": 1e-6, b: 0.25 }));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["fmt", "--check", "--no-config", path],
    }).output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("`parseResults()` names what is wrong", () => {
  const text = (change: object): string => JSON.stringify({ ...someResults({ a: 1 }), ...change });
  const refuse = (input: string, message: string): void => {
    assertThrows(() => parseResults(input, "old.json"), ConfigError, message);
  };
  refuse("{", "Cannot read the results in old.json: it is not JSON");
  refuse(text({ format: 2 }), "Cannot read the results in old.json: format");
  refuse(
    text({ cases: [{ ...someResults({ a: 1 }).cases[0], median_s: -1 }] }),
    "cases.0.median_s",
  );
  assertThrows(() => readResults("/nowhere/old.json"), ConfigError, "/nowhere/old.json");
});

Deno.test("`caseResult()` keeps the work and summarizes the samples", () => {
  const benchCase = { group: "g", name: "n", flops: 6, bytes: 7 };
  const seconds = [0.5, 0.25, 1];
  const result = { ...benchCase, samples: 3, median_s: 0.5, min_s: 0.25, max_s: 1 };
  assertEquals(caseResult(benchCase, { seconds, disturbed: false }), result);
  assertEquals(caseResult(benchCase, { seconds, disturbed: true }), { ...result, disturbed: true });
});

Deno.test("`caseTable()` gives rates and shares of the machine's peaks", () => {
  const [line, , , , row] = caseTable(someResults({ "gemm [4,4]": 0.05 })).split("\n");
  assertStringIncludes(line!, "2026-11-25, Some(R) CPU @ 3.00GHz, avx2, 2 threads");
  assertStringIncludes(line!, "peak 100 GFLOPS, copy 10.0 GB/s");
  // 2 GFLOP and 0.1 GB in 50 ms: 40 GFLOPS and 2 GB/s.
  assertEquals(row!.split("|").map((cell) => cell.trim()).slice(1, -1), [
    "gemm",
    "gemm [4,4]",
    "50.0",
    "25.0",
    "40.0",
    "40 %",
    "2.00",
    "20 %",
  ]);
});

Deno.test("disturbed times are marked, written to the file, and not averaged", () => {
  const results = someResults({ calm: 0.05, busy: 0.05 });
  const mark = (of: typeof results): typeof results => ({
    ...of,
    cases: of.cases.map((each) => each.name === "busy" ? { ...each, disturbed: true } : each),
  });
  const marked = mark(results);
  const table = caseTable(marked);
  assertStringIncludes(table, "50.0 disturbed");
  assertEquals(table.match(/disturbed/g)?.length, 1);
  assertEquals(parseResults(JSON.stringify(marked), "a.json"), marked);
  const slower = someResults({ calm: 0.1, busy: 0.5 });
  for (const [before, after] of [[marked, slower], [results, mark(slower)]] as const) {
    const report = comparisonReport(before, after);
    assertStringIncludes(report, "10.000 disturbed");
    assertStringIncludes(report, "2.000 |        |        | geometric mean of 1 cases");
  }
});

Deno.test("results are named by date, machine and kind; partial runs never replace full ones", () => {
  assertEquals(
    machineSlug({ name: "Intel(R) Xeon(R) Processor @ 2.70GHz", threads: 2 }),
    "intel-xeon-2-threads",
  );
  assertEquals(machineSlug({ name: "AMD EPYC", threads: 1 }), "amd-epyc-1-thread");
  const named = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  const results = someResults({ a: 1 });
  assertEquals(named(resultsPath(results)), "2026-11-25-some-2-threads.json");
  assertEquals(named(resultsPath(results, true)), "2026-11-25-some-2-threads-partial.json");
  const sweep = someResults({ a: 1 }, { kind: "sweep" });
  assertEquals(named(resultsPath(sweep)), "2026-11-25-some-2-threads-sweep.json");
});

Deno.test("a run may be compared with the file that it replaces", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/results.json`;
    writeResults(path, someResults({ a: 0.2 }));
    const destination = openDestination({ output: path, compare: path });
    const text = finishResults(someResults({ a: 0.1 }), destination);
    assertStringIncludes(text, "0.500");
    assertEquals(readResults(path), someResults({ a: 0.1 }));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
