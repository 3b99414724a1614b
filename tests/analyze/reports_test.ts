import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  domainActiveReport,
  domainLoadReport,
  expertTokensReport,
  frequencyReport,
  loadReport,
  sparsityReport,
} from "../../lib/analyze/reports.ts";
import { rankCorrelation } from "../../lib/analyze/rank_correlation.ts";
import { expertsOf, type HostMask } from "../../lib/analyze/host_mask.ts";
import { RoutingStatistics } from "../../lib/analyze/routing_statistics.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { maskOfRows } from "./masks.ts";

const { moe: MOE } = parseConfig({ preset: "pico", moe: { experts: 4, active: 1 } });
const text = (id: number): string => `t${id}`;

/** Two layers of four experts; the tokens are 7, 7, 8 in books, and 7, 9 in code. */
const BATCHES: readonly [string, number[], HostMask[]][] = [
  ["books", [7, 7, 8], [maskOfRows("1000", "1000", "0110"), maskOfRows("0000", "0001", "0001")]],
  ["code", [7, 9], [maskOfRows("1000", "1111"), maskOfRows("0010", "0010")]],
];

function statistics(): RoutingStatistics {
  const counted = new RoutingStatistics(2, 4);
  for (const [domain, tokens, masks] of BATCHES) counted.add(domain, tokens, masks);
  return counted;
}

/** The experts of each occurrence, one by one: the slow and plain way to every figure. */
function occurrences(layer: number): { domain: string; id: number; experts: number[] }[] {
  return BATCHES.flatMap(([domain, tokens, masks]) =>
    tokens.map((id, t) => ({ domain, id, experts: expertsOf(masks[layer]!, t) }))
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

Deno.test("load is each expert's share of the tokens", () => {
  const report = loadReport(statistics(), MOE);
  assertEquals([report.tokens, report.fair_share], [5, 1 / 4]);
  for (const layer of [0, 1]) {
    const all = occurrences(layer);
    assertEquals(
      report.share_of_tokens[layer],
      [0, 1, 2, 3].map((e) => all.filter(({ experts }) => experts.includes(e)).length / 5),
    );
  }
});

Deno.test("sparsity is the share of pairs that are closed, and tokens may have no expert", () => {
  const report = sparsityReport(statistics(), MOE);
  const perLayer = [0, 1].map((layer) =>
    1 - mean(occurrences(layer).map(({ experts }) => experts.length / 4))
  );
  report.sparsity_per_layer.forEach((value, l) => assertAlmostEquals(value, perLayer[l]!, 1e-15));
  assertAlmostEquals(report.sparsity, mean(perLayer), 1e-15);
  assertEquals(report.target, 0.75);
  assertEquals(report.without_expert_per_layer, [0, 1 / 5]);
});

Deno.test("experts by frequency are means over an id's occurrences and the layers", () => {
  const report = frequencyReport(statistics(), MOE, { text, least: 1 });
  assertEquals(report.tokens.map(({ id, occurrences }) => [id, occurrences]), [
    [7, 3],
    [8, 1],
    [9, 1],
  ]);
  for (const { id, text: shown, active, active_per_layer } of report.tokens) {
    const expected = [0, 1].map((layer) =>
      mean(occurrences(layer).filter((each) => each.id === id).map((each) => each.experts.length))
    );
    active_per_layer.forEach((value, l) => assertAlmostEquals(value, expected[l]!, 1e-15));
    assertAlmostEquals(active, mean(expected), 1e-15);
    assertEquals(shown, `t${id}`);
  }
  // 7 is the most frequent and has the fewest experts.
  assertAlmostEquals(report.rank_correlation!, -Math.sqrt(3) / 2, 1e-12);
  assertEquals(
    frequencyReport(statistics(), MOE, { text, least: 2 }).rank_correlation,
    null,
  );
});

Deno.test("an equal number of experts for every token correlates with nothing", () => {
  const counted = new RoutingStatistics(2, 4);
  const rows = ["1000", "0100", "0010", "0001"];
  for (let id = 0; id < 9; id++) {
    const chosen = Array.from({ length: 7 + 3 * id }, (_, t) => rows[(t * t + id) % 4]!);
    const mask = maskOfRows(...chosen);
    counted.add("text", chosen.map(() => id), [mask, mask]);
  }
  assertEquals(frequencyReport(counted, MOE, { text, least: 1 }).rank_correlation, null);
});

Deno.test("domains have shares and active experts of their own, and a degree of specialisation", () => {
  const { domains, specialisation_per_layer, share_distance_per_layer } = domainLoadReport(
    statistics(),
    MOE,
  )!;
  const active = domainActiveReport(statistics(), MOE)!.domains;
  assertEquals(Object.keys(domains), ["books", "code"]);
  for (const [name, { tokens, share_of_tokens }] of Object.entries(domains)) {
    for (const layer of [0, 1]) {
      const own = occurrences(layer).filter(({ domain }) => domain === name);
      assertEquals(tokens, own.length);
      const shares = [0, 1, 2, 3].map((e) =>
        own.filter(({ experts }) => experts.includes(e)).length / own.length
      );
      assertEquals(share_of_tokens[layer], shares);
      const experts = mean(own.map((each) => each.experts.length));
      assertAlmostEquals(active[name]![layer]!, experts, 1e-15);
    }
  }
  // Layer 0: rows (2, 1, 1, 0) / 4 and (2, 1, 1, 1) / 5. Layer 1: each has one expert of its own.
  assertAlmostEquals(specialisation_per_layer[0]!, 0.1, 1e-12);
  assertAlmostEquals(specialisation_per_layer[1]!, 0.5, 1e-12);
  // Shares (2, 1, 1, 0) / 3 and (2, 1, 1, 1) / 2, (0, 0, 0, 2) / 3 and (0, 0, 2, 0) / 2.
  assertAlmostEquals(share_distance_per_layer[0]!, (2 / 6 + 1 / 6 + 1 / 6 + 1 / 2) / 4, 1e-12);
  assertAlmostEquals(share_distance_per_layer[1]!, (2 / 3 + 1) / 4, 1e-12);
});

Deno.test("with k experts per token, the distance of the shares is the specialisation", () => {
  const { moe } = parseConfig({ preset: "pico", moe: { router: "topk", experts: 4, active: 2 } });
  const counted = new RoutingStatistics(1, 4);
  counted.add("books", [1, 2, 3], [maskOfRows("1100", "1010", "1001")]);
  counted.add("code", [1, 2], [maskOfRows("0011", "0101")]);
  const report = domainLoadReport(counted, moe)!;
  // Shares (3, 1, 1, 1) / 3 and (0, 1, 1, 2) / 2, half of them as distributions.
  assertAlmostEquals(report.specialisation_per_layer[0]!, (1 + 1 / 6 + 1 / 6 + 2 / 3) / 8, 1e-12);
  assertAlmostEquals(
    report.share_distance_per_layer[0]!,
    report.specialisation_per_layer[0]!,
    1e-12,
  );
});

Deno.test("one domain leaves nothing to compare, and a closed layer does not specialise", () => {
  const one = new RoutingStatistics(1, 2);
  one.add("text", [1], [maskOfRows("00")]);
  assertEquals([domainLoadReport(one, MOE), domainActiveReport(one, MOE)], [null, null]);
  one.add("other", [1], [maskOfRows("00")]);
  assertEquals(domainLoadReport(one, MOE)!.specialisation_per_layer, [0]);
});

Deno.test("each expert's tokens are sorted by used / occurrences, rare ids left out", () => {
  const { layers } = expertTokensReport(statistics(), { text, least: 1, top: 2 });
  const of = (layer: number, expert: number) =>
    layers[layer]![expert]!.map(({ id, probability, used, occurrences }) => {
      assertEquals(probability, used / occurrences);
      return [id, used, occurrences];
    });
  assertEquals(of(0, 0), [[7, 3, 3], [9, 1, 1]]);
  assertEquals(of(0, 1), [[8, 1, 1], [9, 1, 1]]);
  assertEquals(of(1, 0), []);
  assertEquals(of(1, 2), [[9, 1, 1], [7, 1, 3]]);
  assertEquals(of(1, 3), [[8, 1, 1], [7, 1, 3]]);
  const frequent = expertTokensReport(statistics(), { text, least: 2, top: 9 }).layers;
  assertEquals(frequent[1]![2]!.map(({ id }) => id), [7]);
});

Deno.test("`rankCorrelation()` is Spearman's, ties included", () => {
  assertAlmostEquals(rankCorrelation([1, 2, 3], [10, 100, 1000])!, 1, 1e-12);
  assertAlmostEquals(rankCorrelation([1, 2, 3], [3, 2, 1])!, -1, 1e-12);
  // Ranks 1, 2.5, 2.5, 4, 5 and 2, 1, 3.5, 3.5, 5.
  assertAlmostEquals(rankCorrelation([1, 2, 2, 4, 5], [2, 1, 3, 3, 9])!, 7.25 / 9.5, 1e-12);
  assertEquals(rankCorrelation([1, 2], [1, 2]), null);
  assertEquals(rankCorrelation([1, 2, 3], [5, 5, 5]), null);
  assert(Math.abs(rankCorrelation([1, 2, 3, 4], [2, 4, 1, 3])!) < 1e-12);
});
