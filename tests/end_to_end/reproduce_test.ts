/** `bench/reproduce.ts` as a user runs it, on made-up text of two domains. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { isFlips, readMetrics } from "../../lib/train/mod.ts";
import { TestFolder } from "./run_train.ts";

const REPRODUCE = fileURLToPath(new URL("../../bench/reproduce.ts", import.meta.url));

const DOMAINS = ["--only", "domains", "--data", "train", "--validation-data", "valid"];

/** Two seeds of a model that trains in a second, and settles within a third of its steps. */
const TINY = [
  ...["--preset", "pico", "--seeds", "2", "--steps", "60"],
  ...["--routers", "topk", "--variant", "relu=relu:lambda0=0.01"],
  ...["batch=4", "sequence=32", "cache=cache"].flatMap((it) => ["--set", `data.${it}`]),
  ...["--set", "model.hidden=32", "--set", "validation.batches=2"],
];

async function reproduce(folder: string, ...args: string[]): Promise<[number, string]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", REPRODUCE, ...args],
    cwd: folder,
    env: { INIT_CWD: folder, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  return [code, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)];
}

/** Documents of code and of prose, as different as two domains can be. */
async function writeDomains(folder: string): Promise<void> {
  const write = async (part: string, from: number, to: number): Promise<void> => {
    await Deno.mkdir(`${folder}/${part}/code`, { recursive: true });
    await Deno.mkdir(`${folder}/${part}/prose`, { recursive: true });
    for (let i = from; i < to; i++) {
      const code = Array.from({ length: 80 }, (_, n) => `const x${n} = f(${n * i}, [${i}]);`);
      const prose = Array.from({ length: 60 }, (_, n) => `document ${i} has sentence ${n}, and`);
      await Deno.writeTextFile(`${folder}/${part}/code/${i}.txt`, code.join("\n"));
      await Deno.writeTextFile(`${folder}/${part}/prose/${i}.txt`, prose.join(" "));
    }
  };
  await write("train", 0, 6);
  await write("valid", 6, 8);
}

// deno-lint-ignore no-explicit-any -- JSON, checked below
const json = async (path: string): Promise<any> => JSON.parse(await Deno.readTextFile(path));

Deno.test("trained routing is measured over seeds, and what is finished is kept", async () => {
  await using folder = await TestFolder.make();
  await writeDomains(folder.path);
  const [code, text] = await reproduce(folder.path, ...DOMAINS, "--", ...TINY);
  assertEquals(code, 0, text);
  const out = `${folder.path}/runs/reproduction/domains`;
  const { figures, runs, flips_after } = await json(`${out}/routing.json`);
  assertStringIncludes(text, await Deno.readTextFile(`${out}/routing.md`));
  assert(flips_after > 0 && flips_after < 50, `${flips_after}`);
  assertEquals(runs.length, 4);
  for (const { row, seed, ...run } of runs) {
    const path = `${out}/runs/${row}-s${seed}`;
    const rates = readMetrics(`${path}/run/metrics.jsonl`)
      .flatMap((line) => isFlips(line) && line.step > flips_after ? [line.flip_rate] : []);
    const sum = rates.reduce((total, rate) => total + rate, 0);
    assertAlmostEquals(run.flip_rate, sum / rates.length, 1e-12);
    assert(run.flip_rate > 0);
    const { domains, ...analysis } = await json(`${path}/analysis/domains.json`);
    assertEquals(Object.keys(domains), ["code", "prose"]);
    assertEquals(run.specialisation_per_layer, analysis.specialisation_per_layer);
    assertEquals(run.share_distance_per_layer, analysis.share_distance_per_layer);
    // Most of the code's bytes never occur in the prose.
    assert(Math.max(...run.specialisation_per_layer) > 0.01);
    const { rank_correlation } = await json(`${path}/analysis/frequency.json`);
    assertEquals(run.rank_correlation, rank_correlation);
    assertEquals(rank_correlation === null, row === "topk");
  }
  const { relu } = figures[0].rows;
  assertEquals([relu.estimate.n, relu.difference.n], [2, 2]);

  // One analysis was cut off; the others and all training are kept.
  await Deno.remove(`${out}/runs/relu-s1/routing.json`);
  const page = `${out}/runs/relu-s0/analysis/index.html`;
  const { mtime } = await Deno.stat(page);
  const [again, after] = await reproduce(folder.path, ...DOMAINS, "--", ...TINY);
  assertEquals(again, 0, after);
  assert(!after.includes("after 60 steps"), after);
  assertEquals(after.match(/analysed before/g)?.length, 3);
  assertStringIncludes(after, "relu, seed 1: analysed, ");
  assertEquals((await Deno.stat(page)).mtime, mtime);
  assertEquals((await json(`${out}/routing.json`)).figures, figures);
});

Deno.test("domains need text of several domains, and nothing else takes text", async () => {
  await using folder = await TestFolder.make();
  await writeDomains(folder.path);
  const refused = async (...args: string[]): Promise<string> => {
    const [code, text] = await reproduce(folder.path, ...args);
    assertEquals(code, 1, text);
    assertEquals(Array.from(Deno.readDirSync(folder.path)).length, 2);
    return text;
  };
  assertStringIncludes(
    await refused("--only", "routers,domains"),
    "error: Cannot reproduce domains without text of several domains: give --data",
  );
  assertStringIncludes(
    await refused("--only", "domains", "--data", "train/code"),
    "error: Cannot compare domains: the text has one, code",
  );
  assertStringIncludes(
    await refused("--only", "alpha", "--data", "train"),
    "only domains reads text",
  );
  assertStringIncludes(await refused("--only", "alpa"), "Cannot reproduce alpa: expected routers,");
});
