import { assert, assertEquals } from "@std/assert";
import { CompareProgress, costsOf, lastStep } from "../../../cli/compare/progress.ts";
import type { PlannedRun } from "../../../lib/compare/plan.ts";
import { RunStore } from "../../../lib/compare/run_store.ts";
import { Texts } from "../../../lib/compare/texts.ts";
import { JsonlSink, parseConfig } from "../../../lib/train/mod.ts";
import { stepOf } from "../../plot/runs.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";

function planned(row: string, seed: number, steps = 10): PlannedRun {
  const config = parseConfig({ preset: "pico", seed, steps, moe: { router: "topk" } });
  return { row, seed, config, isa: null, matched: null };
}

Deno.test("the last step is that of the last whole line", () => {
  using folder = new TemporaryFolder();
  const file = `${folder.path}/metrics.jsonl`;
  assertEquals(lastStep(file), 0);
  {
    using sink = new JsonlSink(file);
    for (let step = 1; step <= 300; step++) sink.write(stepOf(step));
  }
  assertEquals(lastStep(file), 300);
  Deno.writeTextFileSync(file, `{"step":301,"loss":1.`, { append: true });
  assertEquals(lastStep(file), 300);
});

Deno.test("seeds cost the same, and what rows have in common costs once", () => {
  const runs = [planned("a", 0), planned("a", 1), planned("same", 0), planned("longer", 0, 20)];
  const [first, second, same, longer] = [...costsOf(runs).values()];
  assert(first! > 0);
  assertEquals([second, same, longer], [first, 0, 2 * first!]);
});

Deno.test("the line says how many runs are left, and for how long", async () => {
  using folder = new TemporaryFolder();
  using store = RunStore.open(folder.path, await Texts.identify([]));
  const runs = [planned("a", 0), planned("b", 1)];
  const stored = store.obtain("a-s0", runs[0]!.config, null);
  Deno.mkdirSync(stored.directory, { recursive: true });
  const written: string[] = [];
  let now = 0;
  {
    using progress = new CompareProgress({ rows: [], seeds: [0, 1], runs }, {
      columns: 60,
      write: (text) => written.push(text),
      now: () => now,
    });
    progress.start(runs[0]!, stored);
    {
      using sink = new JsonlSink(`${stored.directory}/metrics.jsonl`);
      for (let step = 1; step <= 5; step++) sink.write(stepOf(step));
    }
    now = 10_000;
    await new Promise((resolve) => setTimeout(resolve, 1200));
    progress.end(runs[0]!, "a is done");
  }
  // Half of the first run took ten seconds: the other half and the second take thirty.
  assertEquals(written[0], "\r\u001b[K0/2 runs  ETA 30s  a-s0 5/10");
  assertEquals(written.slice(-2), ["\r\x1b[Ka is done\n", "\r\x1b[K"]);
});
