/** The figures of trained routing over seeds. */
import { assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { requireDomains } from "../../bench/reproduction/domains.ts";
import {
  meanFlipRate,
  readAnalysis,
  type RunRouting,
  settledStep,
} from "../../bench/reproduction/routing_figures.ts";
import { summarizeRouting } from "../../bench/reproduction/routing_summary.ts";
import { routingTable } from "../../bench/reproduction/routing_table.ts";
import type { CompareResults } from "../../lib/compare/results.ts";
import type { RowSummary } from "../../lib/compare/summary.ts";
import { ConfigError } from "../../lib/errors.ts";
import { parseConfig } from "../../lib/train/mod.ts";

const ROWS = [{ label: "topk", baseline: null }, { label: "relu", baseline: "topk" }];

function runOf(
  row: string,
  seed: number,
  flip_rate: number,
  rank_correlation: number | null,
  layers: readonly number[],
): RunRouting {
  const share_distance_per_layer = layers.map((value) => value / 2);
  const of = { rank_correlation, specialisation_per_layer: layers, share_distance_per_layer };
  return { row, seed, flip_rate, tokens: { books: 3000, code: 1000 }, ...of };
}

/** In another order than the rows and seeds: pairs are found by seed. */
const RUNS = [
  runOf("relu", 2, 0.003, -0.7, [0.5, 0.3]),
  runOf("topk", 0, 0.004, null, [0.1, 0.1]),
  runOf("topk", 1, 0.003, null, [0.1, 0.2]),
  runOf("relu", 0, 0.001, -0.5, [0.2, 0.2]),
  runOf("topk", 2, 0.005, null, [0.1, 0.3]),
  runOf("relu", 1, 0.002, -0.6, [0.2, 0.4]),
];

/** 97.5 % quantile of Student's t with 2 degrees of freedom, from tables. */
const T2 = 4.302653;

Deno.test("figures are means over seeds, with differences paired by seed", () => {
  const figures = summarizeRouting(ROWS, RUNS);
  assertEquals(figures.map(({ name }) => name), [
    "flip rate, %",
    "rank correlation",
    "specialisation, mean of layers",
    "specialisation, layer 0",
    "specialisation, layer 1",
    "distance of shares, mean of layers",
    "distance of shares, layer 0",
    "distance of shares, layer 1",
  ]);
  const [flips, correlation, specialisation, first, , distance] = figures;
  const { topk, relu } = flips!.rows;
  assertAlmostEquals(topk!.estimate!.mean, 0.4, 1e-12);
  assertAlmostEquals(relu!.estimate!.mean, 0.2, 1e-12);
  assertAlmostEquals(relu!.estimate!.standard_error!, 0.1 / Math.sqrt(3), 1e-12);
  assertEquals(topk!.difference, null);
  // Differences -0.3, -0.1 and -0.2.
  assertAlmostEquals(relu!.difference!.mean, -0.2, 1e-12);
  const reach = T2 * 0.1 / Math.sqrt(3);
  assertAlmostEquals(relu!.difference!.interval![0], -0.2 - reach, 1e-6);
  assertAlmostEquals(relu!.difference!.interval![1], -0.2 + reach, 1e-6);

  assertEquals(correlation!.rows["topk"], { estimate: null, difference: null });
  assertAlmostEquals(correlation!.rows["relu"]!.estimate!.mean, -0.6, 1e-12);
  assertEquals(correlation!.rows["relu"]!.difference, null);

  // Means of layers 0.1, 0.15, 0.2 and 0.2, 0.3, 0.4: differences 0.1, 0.15, 0.2.
  assertAlmostEquals(specialisation!.rows["topk"]!.estimate!.mean, 0.15, 1e-12);
  assertAlmostEquals(specialisation!.rows["relu"]!.difference!.mean, 0.15, 1e-12);
  assertAlmostEquals(specialisation!.rows["relu"]!.difference!.deviation!, 0.05, 1e-12);
  assertAlmostEquals(first!.rows["relu"]!.difference!.mean, 0.2, 1e-12);
  assertAlmostEquals(distance!.rows["relu"]!.difference!.mean, 0.075, 1e-12);
});

Deno.test("the table has a mean per router, and a difference or what is uncertain instead", () => {
  const results = {
    figures: summarizeRouting(ROWS, RUNS),
    flips_after: 97,
    tokens: RUNS[0]!.tokens,
  };
  const comparison = { rows: ROWS as unknown as RowSummary[], seeds: [0, 1, 2], command: "make" };
  const lines = routingTable(results, comparison).split("\n");
  assertEquals(lines[0], "| figure | topk | relu | relu − topk |");
  assertEquals(
    lines[2],
    "| flip rate, % (figure 10) | 0.4000 ± 0.0577 | 0.2000 ± 0.0577 | " +
      "-0.2000 [-0.4484, +0.0484] |",
  );
  assertEquals(
    lines[3],
    "| rank correlation (figure 7) | – | -0.6000 ± 0.0577 | " +
      "relu alone: -0.6000 [-0.8484, -0.3516] |",
  );
  const remarks = lines.filter((line) => line.startsWith("- ")).join("\n");
  for (const part of ["after step 97", "3,000 tokens of books, 1,000 tokens of code", "3 seeds"]) {
    assertEquals(remarks.includes(part), true, part);
  }
  const more = routingTable(results, { ...comparison, seeds: [0, 1, 2, 3] });
  assertEquals(more.includes("-0.6000 ± 0.0577 (3 of 4 seeds)"), true);
});

/** A comparison of which only the settled steps are known. */
function settledAt(...steps: readonly (number | null)[]): CompareResults {
  const relu = parseConfig({ preset: "pico", moe: { router: "relu" } });
  const topk = parseConfig({ preset: "pico", moe: { router: "topk" } });
  const runs = [
    { row: "topk", seed: 0, result: { routing: { settled: null } } },
    ...steps.map((settled, seed) => ({ row: "relu", seed, result: { routing: { settled } } })),
  ];
  return { runs, configs: { relu, topk } } as unknown as CompareResults;
}

Deno.test("flips count once the last run has settled", () => {
  assertEquals(settledStep(settledAt(93, 97, 90)), 97);
  assertEquals(settledStep(settledAt()), 0);
  assertThrows(
    () => settledStep(settledAt(93, null)),
    ConfigError,
    "relu, seed 1 has not settled in 300 steps; give more steps",
  );
});

Deno.test("the flip rate of a run is the mean over its later steps", async () => {
  const folder = await Deno.makeTempDir();
  const flips = (step: number, flip_rate: number) => ({
    step,
    flip_rate,
    flip_count: 8 * flip_rate,
    flip_rate_per_layer: [flip_rate],
  });
  const lines = [flips(10, 0.9), flips(20, 0.8), flips(30, 0.01), { step: 30, valid_loss: 2 }];
  const text = [...lines, flips(40, 0.03)].map((line) => `${JSON.stringify(line)}\n`).join("");
  await Deno.writeTextFile(`${folder}/metrics.jsonl`, text);
  assertAlmostEquals(meanFlipRate(folder, 20), 0.02, 1e-15);
  assertThrows(() => meanFlipRate(folder, 40), ConfigError, "none was measured after step 40");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("text of one domain is refused, before training and after", async () => {
  const folder = await Deno.makeTempDir();
  for (const domain of ["books", "code"]) {
    await Deno.mkdir(`${folder}/${domain}`);
    await Deno.writeTextFile(`${folder}/${domain}/a.txt`, "text");
  }
  await requireDomains([folder]);
  const one = requireDomains([`${folder}/code`]);
  await assertRejects(() => one, ConfigError, "Cannot compare domains: the text has one, code");
  assertThrows(() => readAnalysis(folder), ConfigError, "the held-out text has one domain");
  await Deno.remove(folder, { recursive: true });
});
