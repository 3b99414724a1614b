import { assert, assertEquals, assertFalse, assertStringIncludes } from "@std/assert";
import type { Launch } from "../../../cli/compare/child.ts";
import { compareCommand } from "../../../cli/compare/command.ts";
import { COMPARE_FLAGS } from "../../../cli/compare/flags.ts";
import { terminalTable } from "../../../cli/compare/table.ts";
import { loadRenderer } from "../../../cli/shared/render.ts";
import type { CompareResults } from "../../../lib/compare/results.ts";
import { routerOf } from "../../../lib/moe/router_of.ts";
import { initialStage, JsonlSink, writeCheckpoint } from "../../../lib/train/mod.ts";
import { stepOf } from "../../plot/runs.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Names of the runs that were trained, in order. */
  readonly launched: readonly string[];
  /** Most processes at once. */
  readonly most: number;
}

/** Runs the command with processes that write figures at once; those named in `fail` end early. */
async function compare(
  folder: string,
  args: string,
  fail: readonly string[] = [],
): Promise<Result> {
  const launched: string[] = [];
  let [active, most] = [0, 0];
  const launch: Launch = async (run) => {
    launched.push(run.name);
    most = Math.max(most, ++active);
    await new Promise((resolve) => setTimeout(resolve, 5));
    active--;
    if (fail.includes(run.name)) return { ok: false, reason: "The loss is not finite" };
    writeFigures(run.directory, run.config);
    return { ok: true, reason: "" };
  };
  const output = new CapturedOutput();
  const warnings: string[] = [];
  const tools = { launch, loadRenderer: () => loadRenderer((text) => warnings.push(text)) };
  const given = ["--preset=pico", "--steps=30", `--out=${folder}/out`, ...args.split(" ")];
  const code = await compareCommand(given, output, tools);
  assertEquals(warnings, []);
  return { code, stdout: output.stdout, stderr: output.stderr, launched, most };
}

function writeFigures(path: string, { moe, steps, seed }: Parameters<Launch>[0]["config"]): void {
  Deno.mkdirSync(path, { recursive: true });
  using sink = new JsonlSink(`${path}/metrics.jsonl`);
  const router = routerOf(moe).routed ? moe.router as "relu" | "topk" : "dense";
  for (let step = 1; step <= steps; step++) sink.write(stepOf(step, { router }));
  const loss = (router === "relu" ? 1.2 : 1.5) + seed / 10;
  sink.write({ step: steps, valid_loss: loss, valid_bits_per_byte: loss / Math.LN2 });
}

/** Writes the last checkpoint of a run. */
function writeLast(run: string, text: string): void {
  writeCheckpoint(`${run}/run/checkpoints`, {
    state: {
      ...{ format: 1, step: 30, tokens: 1, lambda: 1, stage: initialStage("topk"), sampler: null },
      ...{ text, seed: 0, config_hash: "", versions: {} },
    },
    ...{ model: [], optimizer: [] },
  }, 1);
}

function resultsIn(folder: string): CompareResults {
  return JSON.parse(Deno.readTextFileSync(`${folder}/out/results.json`));
}

Deno.test("a comparison ends with a table, a page and charts", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers dense,topk,relu --seeds 2 --jobs 2 --noise first";
  const { code, stdout, stderr, launched, most } = await compare(folder.path, args);
  assertEquals(code, 0, stderr);
  const { rows, finished, seeds } = resultsIn(folder.path);
  // Where there is no lower instruction set, there is no noise floor.
  assertEquals([finished, seeds], [[launched.length, launched.length], [0, 1]]);
  assert(launched.length >= 6 && most === 2, `${launched} ${most}`);
  const relu = rows.find(({ label }) => label === "relu")!.figures!;
  assertEquals([relu.difference!.n, relu.valid_loss.n], [2, 2]);
  assertEquals(relu.difference!.mean.toFixed(6), "-0.300000");
  for (const text of ["-0.3000 [-0.3000, -0.3000]", "1.2500 ± 0.0500", "0.7500 ± 0.0000"]) {
    assertStringIncludes(stdout, text);
    assertStringIncludes(Deno.readTextFileSync(`${folder.path}/out/table.md`), text);
  }
  const page = Deno.readTextFileSync(`${folder.path}/out/report.html`);
  assertFalse(/(?:src|href)="(?!#)/.test(page), "the page needs other files");
  assertFalse(/NaN|undefined|Infinity/.test(page));
  assertEquals(page.match(/<figure /g)!.length, 6);
  for (const name of ["loss-step", "loss-flops", "final-loss", "difference", "sparsity", "load"]) {
    const svg = Deno.readTextFileSync(`${folder.path}/out/${name}.svg`);
    assert(svg.startsWith("<svg xmlns="), name);
  }
});

Deno.test("the same command does nothing again, and a larger one only what is missing", async () => {
  using folder = new TemporaryFolder();
  const first = await compare(folder.path, "--routers topk,relu --seeds 1 --noise none");
  assertEquals(first.launched, ["topk-s0", "relu-s0"]);
  const again = await compare(folder.path, "--routers topk,relu --seeds 1 --noise none");
  assertEquals([again.launched, again.stdout], [[], first.stdout]);
  const larger = await compare(
    folder.path,
    "--routers topk,relu,dense --seeds 2 --noise none --variant same=topk:balance_coefficient=0.01",
  );
  // The variant is TopK as it is: one run for both rows.
  assertEquals([...larger.launched].sort(), ["dense-s0", "dense-s1", "relu-s1", "topk-s1"]);
  const { rows } = resultsIn(folder.path);
  assertEquals(rows.find(({ label }) => label === "same")!.figures!.difference!.mean, 0);
  const report = await compare(folder.path, "--routers topk,relu --seeds 5 --noise none --report");
  assertEquals([report.code, report.launched], [0, []]);
  assertStringIncludes(report.stdout, "4 of 10 runs are finished");
  assertStringIncludes(report.stdout, "2 of 5");
});

Deno.test("runs are known by the type they compute in, whether it was named or chosen", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers relu --seeds 1 --noise none";
  assertEquals((await compare(folder.path, args)).launched, ["relu-s0"]);
  assertEquals(resultsIn(folder.path).configs["relu"]!.model.dtype, "f32");
  const named = (dtype: string) => compare(folder.path, `${args} --set model.dtype=${dtype}`);
  assertEquals((await named("f32")).launched, []);
  assertEquals((await named("bf16")).launched.length, 1);
});

Deno.test("runs on a text that has changed since are left out, and trained again", async () => {
  using folder = new TemporaryFolder();
  const text = `${folder.path}/text.txt`;
  Deno.writeTextFileSync(text, "A text. ".repeat(100));
  const args = `--routers topk --noise none --data ${text} --set data.cache=${folder.path}/cache`;
  const first = await compare(folder.path, `${args} --seeds 1`);
  assertEquals(first.launched, ["topk-s0"], first.stderr);
  Deno.writeTextFileSync(text, "Another text. ".repeat(100));
  const report = await compare(folder.path, `${args} --seeds 1 --report`);
  const told = "The text has changed since a run trained on it, left out here: topk-s0.";
  for (const words of ["0 of 1 runs are finished", told]) {
    assertStringIncludes(report.stdout, words);
  }
  const plan = await compare(folder.path, `${args} --seeds 2 --dry-run`);
  assertStringIncludes(plan.stdout, "2 runs, 0 finished");
  const more = await compare(folder.path, `${args} --seeds 2`);
  assertEquals(more.launched, ["topk-s0-2", "topk-s1"]);
  assertStringIncludes(more.stdout, told);
  // The first text is back, and so is its run.
  Deno.writeTextFileSync(text, "A text. ".repeat(100));
  const back = await compare(folder.path, `${args} --seeds 1`);
  assertEquals(back.launched, []);
  assertStringIncludes(back.stdout, "has changed since 2 runs trained on it");
});

Deno.test("a run of a version that recorded no text is known by its checkpoint", async () => {
  using folder = new TemporaryFolder();
  const text = `${folder.path}/text.txt`;
  Deno.writeTextFileSync(text, "A text. ".repeat(100));
  const args = `--routers topk --noise none --data ${text} --seeds 1`;
  await compare(folder.path, args);
  const run = `${folder.path}/out/runs/topk-s0`;
  const { text: identity, ...record } = JSON.parse(Deno.readTextFileSync(`${run}/run.json`));
  Deno.writeTextFileSync(`${run}/run.json`, JSON.stringify(record));
  assertEquals((await compare(folder.path, `${args} --report`)).stdout.includes("left out"), true);
  writeLast(run, identity);
  assertEquals((await compare(folder.path, args)).launched, []);
});

Deno.test("a run that read another text than planned is refused", async () => {
  using folder = new TemporaryFolder();
  const text = `${folder.path}/text.txt`;
  Deno.writeTextFileSync(text, "A text. ".repeat(100));
  const args = `--routers topk --noise none --data ${text} --seeds 1`;
  await compare(folder.path, args);
  const run = `${folder.path}/out/runs/topk-s0`;
  Deno.removeSync(`${run}/result.json`);
  writeLast(run, "of another text");
  const { code, stdout } = await compare(folder.path, args);
  assertEquals(code, 1);
  assertStringIncludes(stdout, "topk, seed 0 failed: Cannot use");
  assertStringIncludes(stdout, "the text changed before the run read it; remove the folder");
});

Deno.test("a failed run is told, the others go on, and the next command tries it again", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers topk,relu --seeds 2 --noise none --match compute";
  const failed = await compare(folder.path, args, ["relu-s0"]);
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.stdout, "relu, seed 0 failed: The loss is not finite");
  assertStringIncludes(failed.stdout, "topk, seed 0 failed: relu, whose FLOPs set its steps");
  assertEquals(failed.launched, ["relu-s0", "relu-s1", "topk-s1"]);
  const again = await compare(folder.path, args);
  assertEquals([again.code, again.launched], [0, ["relu-s0", "topk-s0"]]);
});

Deno.test("`--drop-weights` keeps the figures of a run, which stays finished", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers topk --seeds 1 --noise none --drop-weights";
  await compare(folder.path, args);
  Deno.removeSync(`${folder.path}/out/runs/topk-s0/run`, { recursive: true });
  assertEquals((await compare(folder.path, args)).launched, []);
});

Deno.test("a result of another version is worked out again, without training", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers topk --seeds 1 --noise none";
  const first = await compare(folder.path, args);
  const file = `${folder.path}/out/runs/topk-s0/result.json`;
  for (const more of ["", " --report"]) {
    Deno.writeTextFileSync(file, `{"format": 1}`);
    const again = await compare(folder.path, `${args}${more}`);
    assertEquals([again.launched, again.stdout], [[], first.stdout]);
    assertEquals(JSON.parse(Deno.readTextFileSync(file)).format, 2);
  }
});

Deno.test("losses by domain are columns", async () => {
  using folder = new TemporaryFolder();
  const { stdout } = await compare(folder.path, "--routers topk --seeds 2 --noise none");
  assertFalse(stdout.includes("loss on"));
  const results = resultsIn(folder.path);
  const losses = { books: { ...results.rows[0]!.figures!.valid_loss, mean: 2 } };
  const [row] = results.rows;
  const figures = { ...row!.figures!, valid_loss_by_domain: losses };
  const text = terminalTable({ ...results, rows: [{ ...row!, figures }] });
  assertStringIncludes(text, "loss on books");
  assertStringIncludes(text, "2.0000 ± ");
});

Deno.test("one seed has no interval, and the table says so", async () => {
  using folder = new TemporaryFolder();
  const { stdout } = await compare(folder.path, "--routers topk,relu --seeds 1 --noise none");
  assertStringIncludes(stdout, "-0.3000 (1 seed)");
  assertStringIncludes(stdout, "One seed: there is neither standard error nor interval.");
});

Deno.test("a dry run lists the runs and writes nothing", async () => {
  using folder = new TemporaryFolder();
  const args = "--routers topk,relu --seeds 2 --noise none --match compute --dry-run";
  const { code, stdout, launched } = await compare(folder.path, args);
  assertEquals([code, launched, [...Deno.readDirSync(folder.path)]], [0, [], []]);
  assertStringIncludes(stdout, "topk, seed 1: 30 steps, as many as relu allows, about");
  assertStringIncludes(stdout, "4 runs, 0 finished");
});

Deno.test("a folder of something else, and a second process, are refused", async () => {
  using folder = new TemporaryFolder();
  Deno.mkdirSync(`${folder.path}/out`);
  Deno.writeTextFileSync(`${folder.path}/out/thesis.txt`, "years of work");
  const args = "--routers topk --seeds 1 --noise none";
  const { code, stderr } = await compare(folder.path, args);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "it is not empty (thesis.txt) and holds no comparison");
});

Deno.test("`compare --help` lists every flag", async () => {
  const output = new CapturedOutput();
  const tools = { launch: () => Promise.reject(new Error("nothing to train")), loadRenderer };
  assertEquals(await compareCommand(["--help"], output, tools), 0);
  for (const name of Object.keys(COMPARE_FLAGS)) {
    assert(output.stdout.includes(`  --${name}`), name);
  }
  for (const line of output.stdout.split("\n")) assert(line.length <= 100, line);
});
