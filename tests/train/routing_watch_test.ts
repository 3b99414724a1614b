import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  isValidation,
  parseConfig,
  readMetrics,
  RunDirectory,
  type StepMetrics,
  train,
} from "@remoe/remoe/train";
import { RoutingWatch } from "../../lib/train/routing_watch.ts";
import { openDevice } from "../tensor/open_device.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { stepOf } from "../plot/runs.ts";

type Figures = Pick<StepMetrics, "expert_load" | "sparsity_per_layer">;

/** Every expert gets its share. */
const SOUND: Figures = {
  expert_load: [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]],
  sparsity_per_layer: [0.75, 0.75],
};
/** Expert 2 of layer 1 gets no tokens. */
const STARVING: Figures = {
  ...SOUND,
  expert_load: [[0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0, 0.25]],
};
/** Layer 0 has an expert for one token of twenty. */
const CLOSED: Figures = {
  expert_load: [[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]],
  sparsity_per_layer: [1 - 0.05 / 4, 0.75],
};

/** What a watch reports, step by step. */
function said(moe: Record<string, unknown>, ...stretches: readonly [number, Figures][]): string[] {
  const watch = new RoutingWatch(parseConfig({ preset: "pico", moe: { experts: 4, ...moe } }));
  let step = 0;
  return stretches.flatMap(([steps, figures]) =>
    Array.from({ length: steps }, () => watch.observe({ ...stepOf(++step), ...figures }))
      .flat().map((text) => `${step}: ${text}`)
  );
}

Deno.test("an expert without tokens for 50 steps in a row is reported once, with advice", () => {
  const [text, ...more] = said({}, [10, SOUND], [120, STARVING]);
  assertEquals(more, []);
  assertStringIncludes(text!, "1 expert has received no token for 50 steps (layer.expert: 1.2)");
  assertStringIncludes(text!, "a lower learning rate or a larger model.init_std helps");
  assertEquals(said({}, [49, STARVING], [1, SOUND], [49, STARVING]), []);
  assertEquals(said({}, [100, SOUND]), []);

  const advice = (moe: Record<string, unknown>) => said(moe, [50, STARVING])[0]!;
  assertStringIncludes(advice({ balance: "plain" }), "moe.balance=load spreads the load");
  const topk = { router: "topk", balance_coefficient: 0.02 };
  assertStringIncludes(advice(topk), "a larger moe.balance_coefficient than 0.02");
});

Deno.test("a layer closed for 50 steps is reported once, without listing its experts", () => {
  const [text, ...more] = said({}, [120, CLOSED]);
  assertEquals(more, []);
  assertStringIncludes(text!, "Layer 0 has closed: for 50 steps at least nine in ten tokens have");
  assertEquals(said({}, [49, CLOSED], [1, SOUND], [49, CLOSED]), []);
});

Deno.test("only the first of many starving experts are named", () => {
  const load = Array.from({ length: 4 }, () => [1, 0, 0, 0]);
  const [text] = said({}, [50, { expert_load: load, sparsity_per_layer: Array(4).fill(0.75) }]);
  assertMatch(text!, /12 experts have .* \(layer\.expert: 0\.1, .*, 2\.2 and 4 more\) and learn /);
});

Deno.test("a run whose layers close reports and counts them", async () => {
  using folder = new TemporaryFolder();
  Deno.writeTextFileSync(`${folder.path}/text.txt`, "The quick brown fox. ".repeat(200));
  const config = parseConfig({
    preset: "pico",
    steps: 130,
    model: { layers: 1, hidden: 16, heads: 2 },
    moe: { lambda0: 1e3, lambda_floor: 900, lambda_ceiling: 1100 },
    data: { paths: [`${folder.path}/text.txt`], batch: 2, sequence: 16, cache: folder.path },
    optimizer: { lr: 1e-2 },
    validation: { every: 0 },
    sample: { tokens: 1 },
    out: `${folder.path}/run`,
  });
  const notices: string[] = [];
  {
    using device = await openDevice();
    using directory = RunDirectory.create(config);
    await train(config, { device, directory, onNotice: (text) => notices.push(text) });
  }
  const warnings = notices.filter((text) => text.includes("closed"));
  assertEquals(warnings.length, 1, notices.join("\n"));
  assertMatch(warnings[0]!, /^Step \d+: Layer 0 has closed/);
  const steps = readMetrics(`${folder.path}/run/metrics.jsonl`).filter((line) =>
    !isValidation(line)
  );
  const { closed_layers, idle_experts } = steps.at(-1) as StepMetrics;
  assertEquals([closed_layers, (steps[0] as StepMetrics).closed_layers], [1, 0]);
  assert(idle_experts > 0);
});
