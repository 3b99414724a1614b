import { assert, assertAlmostEquals, assertEquals, assertFalse } from "@std/assert";
import { evaluateCommand } from "../../../cli/evaluate/command.ts";
import { EVALUATE_FLAGS } from "../../../cli/evaluate/flags.ts";
import { EvaluationProgress } from "../../../cli/evaluate/progress.ts";
import { tQuantile } from "../../../lib/statistics.ts";
import { EXAMPLES } from "../../evaluate/items.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";
import { assertRefused, type Finished, runTrain, writeText } from "../refusal.ts";

async function runEvaluate(folder: TemporaryFolder, ...args: string[]): Promise<Finished> {
  const output = new CapturedOutput();
  const before = Deno.env.get("INIT_CWD");
  Deno.env.set("INIT_CWD", folder.path);
  try {
    const code = await evaluateCommand(["--device=cpu", ...args], output);
    return { code, stdout: output.stdout, stderr: output.stderr };
  } finally {
    if (before === undefined) Deno.env.delete("INIT_CWD");
    else Deno.env.set("INIT_CWD", before);
  }
}

/** Trains a tiny model, and writes a folder of items. */
async function prepare(folder: TemporaryFolder, router = "relu"): Promise<void> {
  writeText(folder.path);
  const experts = router === "dense" ? [] : ["--experts=4"];
  const flags = ["--data=text", `--router=${router}`, `--out=${router}`, "--device=cpu"];
  const sizes = ["--set=model.hidden=16", "--set=model.ffn=32", "--set=checkpoint.every=2"];
  const trained = await runTrain(folder.path, [...flags, ...sizes, ...experts]);
  assertEquals(trained.code, 0, trained.stderr);
  Deno.mkdirSync(`${folder.path}/items`);
  for (const { name, fields } of EXAMPLES) {
    const line = `${JSON.stringify(fields)}\n`;
    Deno.writeTextFileSync(`${folder.path}/items/${name}.jsonl`, line.repeat(2), { append: true });
  }
}

type Results = {
  readonly results: Record<string, Record<string, unknown>>;
  readonly "n-samples": Record<string, { original: number; effective: number }>;
  readonly remoe: { step: number; items_cut: Record<string, number>; text?: unknown };
};

// deno-lint-ignore no-explicit-any
function json<T = any>(path: string): T {
  return JSON.parse(Deno.readTextFileSync(path)) as T;
}

function copyRun(from: string, to: string): void {
  Deno.mkdirSync(to);
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyRun(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

Deno.test("`evaluate` scores tasks and writes what the harness writes", async () => {
  using folder = new TemporaryFolder();
  await prepare(folder);
  const flags = ["--tasks=all", "--eval-data=items", "--output=out/a.json", "--log-samples"];
  const { code, stdout, stderr } = await runEvaluate(folder, "relu", ...flags);
  assertEquals(code, 0, stderr);
  const { results, "n-samples": counts, remoe } = json<Results>(`${folder.path}/out/a.json`);
  assertEquals(Object.keys(results), [
    ...["arc_challenge", "arc_easy", "boolq", "hellaswag", "lambada_openai", "piqa", "race"],
  ]);
  assertEquals(counts.hellaswag, { original: 4, effective: 4 });
  // The model reads 32 tokens at a time, one per byte.
  assertEquals([remoe.items_cut.race, remoe.items_cut.lambada_openai], [4, 0]);
  assertEquals(remoe.step, 3);
  assert(stdout.includes("paper: ReMoE 182M") && stdout.includes("race"), stdout);
  const { "acc,none": acc, "perplexity,none": perplexity } = results.lambada_openai!;
  const samples = Deno.readTextFileSync(`${folder.path}/out/a_samples_lambada_openai.jsonl`)
    .trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(samples.map(({ doc_id }) => doc_id), [0, 1]);
  const [[first]] = samples.map(({ filtered_resps }) => filtered_resps);
  assertAlmostEquals(perplexity as number, Math.exp(-first[0]), 1e-3 * (perplexity as number));
  assertEquals(acc, Number(first[1]));
  assertEquals(samples[0].arguments, [['She said  "no" to', " him"]]);
  assertEquals(results.piqa!["acc_stderr,none"], 0);
  assertFalse(Object.keys(results.boolq!).includes("acc_norm,none"));
});

Deno.test("`evaluate` measures text by domain, at a step, up to a limit", async () => {
  using folder = new TemporaryFolder();
  await prepare(folder);
  const own = await runEvaluate(folder, "relu");
  assertEquals(own.code, 0, own.stderr);
  const [name] = namesIn(`${folder.path}/relu/evaluation`);
  assert(/^results_[\dT.-]+\.json$/.test(name!), name);
  const { results } = json<Results>(`${folder.path}/relu/evaluation/${name}`);
  assertEquals(Object.keys(results), ["text"]);
  const { "bits_per_byte,none": bits, "loss,none": loss } = results.text as Record<string, number>;
  // Each byte is a token, and windows end with the documents.
  assertAlmostEquals(bits!, loss! / Math.LN2, 1e-12);
  const domains = ["--data=a=text/0.txt", "--data=b=text/1.txt", "--data=b=text/2.txt"];
  const flags = [...domains, "--step=2", "--limit=1", "--output=b.json"];
  const { code, stdout, stderr } = await runEvaluate(folder, "relu", ...flags);
  assertEquals(code, 0, stderr);
  const measured = json<Results>(`${folder.path}/b.json`);
  assertEquals(Object.keys(measured.results), ["text", "text:a", "text:b"]);
  assertEquals(measured.results["text:b"]!.sample_len, 1);
  assertEquals(measured.remoe.step, 2);
  assert(/^all +2 /m.test(stdout), stdout);
});

Deno.test("`evaluate` compares runs and checkpoints with the first, item by item", async () => {
  using folder = new TemporaryFolder();
  await prepare(folder);
  Deno.symlinkSync(`${folder.path}/relu`, `${folder.path}/link`);
  const checkpoint = "link/checkpoints/step-000002";
  const tasks = ["--tasks=piqa,boolq", "--eval-data=items", "--data=text"];
  const { code, stdout, stderr } = await runEvaluate(folder, "relu", checkpoint, ...tasks);
  assertEquals(code, 0, stderr);
  assert(stderr.includes("2 of 2: "), stderr);
  const evaluation = `${folder.path}/relu/evaluation`;
  const names = namesIn(evaluation);
  for (const name of names) assert(/^results_[\dT.-]+\.json$/.test(name), name);
  const [first, second] = names.map((name) => json(`${evaluation}/${name}`));
  assertEquals([first.remoe.step, first.remoe.compared], [3, undefined]);
  const { baseline, results, mean_acc } = second.remoe.compared;
  assertEquals([second.remoe.step, baseline.step], [2, 3]);
  assertEquals(Object.keys(results), ["text", "piqa", "boolq"]);
  for (const [name, metric] of [["text", "bits_per_byte"], ["piqa", "acc"], ["boolq", "acc"]]) {
    const { difference } = results[name!][metric!];
    const figure = ({ results }: Results) => results[name!]![`${metric},none`] as number;
    assertAlmostEquals(difference, figure(second) - figure(first), 1e-12, name);
  }
  const { difference, stderr: error, interval } = results.text.bits_per_byte;
  assert(difference !== 0);
  const reach = tQuantile(0.975, results.text.bits_per_byte.items - 1) * error;
  assertAlmostEquals(interval[1] - interval[0], 2 * reach, 1e-12);
  assertEquals(mean_acc.items, results.piqa.acc.items + results.boolq.acc.items);
  assert(
    /^Difference from .*\/relu at step 3, on the same items\n\n/m.test(stdout),
    stdout,
  );
  assert(/^mean +\d+ +acc /m.test(stdout), stdout);
});

Deno.test("`evaluate` compares runs on their own text only where that is the same", async () => {
  using folder = new TemporaryFolder();
  await prepare(folder);
  // As many documents of the same name and as many bytes.
  Deno.mkdirSync(`${folder.path}/other`);
  for (const name of namesIn(`${folder.path}/text`)) {
    const text = Deno.readTextFileSync(`${folder.path}/text/${name}`);
    Deno.writeTextFileSync(`${folder.path}/other/${name}`, text.replaceAll("e", "o"));
  }
  const flags = ["--router=dense", "--device=cpu", "--set=model.hidden=16", "--set=model.ffn=32"];
  for (const [out, data] of [["dense", "text"], ["else", "other"]]) {
    const trained = await runTrain(folder.path, [`--data=${data}`, `--out=${out}`, ...flags]);
    assertEquals(trained.code, 0, trained.stderr);
  }
  const same = await runEvaluate(folder, "relu", "dense");
  assertEquals(same.code, 0, same.stderr);
  assert(same.stdout.includes("bits per byte"), same.stdout);
  const refused = await runEvaluate(folder, "relu", "dense", "else");
  assertRefused(refused, "they hold out different documents");
  assertFalse(namesIn(`${folder.path}/else`).includes("evaluation"));
  const given = await runEvaluate(folder, "else", "dense", "--data=text", "--max-length=16");
  assertEquals(given.code, 0, given.stderr);
});

Deno.test("`evaluate` refuses what it cannot do, before any work", async () => {
  using folder = new TemporaryFolder();
  await prepare(folder);
  const tasks = ["--tasks=piqa", "--eval-data=items"];
  Deno.symlinkSync(`${folder.path}/relu`, `${folder.path}/link`);
  Deno.mkdirSync(`${folder.path}/empty`);
  Deno.copyFileSync(`${folder.path}/relu/config.json`, `${folder.path}/empty/config.json`);
  copyRun(`${folder.path}/relu`, `${folder.path}/changed`);
  const config = json(`${folder.path}/changed/config.json`);
  config.model.rope_base *= 2;
  Deno.writeTextFileSync(`${folder.path}/changed/config.json`, JSON.stringify(config));
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], "Which run?"],
    [["relu", "other"], "there is no such folder"],
    [["relu", "relu/"], "relu at step 3 with itself: it is given twice"],
    [["relu", "relu/checkpoints/step-000003"], "with itself"],
    [["relu", "link"], "with itself"],
    [["relu", "empty", ...tasks], "holds no complete one"],
    [["relu", "changed", ...tasks], "it was written under another configuration"],
    [["relu", "relu/checkpoints/step-000002", "--output=a.json"], "there are 2 runs"],
    [["none"], "there is no such folder"],
    [["relu", "--tasks=mmlu", "--eval-data=items"], 'There is no task "mmlu"; the tasks are arc_'],
    [["relu", "--tasks=piqa,", "--eval-data=items"], 'There is no task ""'],
    [["relu", "--tasks=piqa"], "--tasks needs --eval-data"],
    [["relu", "--eval-data=items"], "--eval-data has no effect without --tasks"],
    [["relu", "--bos"], "--bos has no effect without --tasks"],
    [["relu", "--log-samples"], "--log-samples has no effect without --tasks"],
    [["relu", "--tasks=piqa", "--eval-data=no"], "there is no folder"],
    [["relu", "--tasks=piqa", "--eval-data=text"], "holds none of piqa.jsonl"],
    [["relu", ...tasks, "--limit=0"], "--limit is 0"],
    [["relu", ...tasks, "--limit=x"], "--limit is x"],
    [["relu", ...tasks, "--max-length=0"], "--max-length is 0"],
    [["relu", ...tasks, "--max-length=4"], "Cannot use item 1 of piqa: Cannot score"],
    [["relu", ...tasks, "--max-length=4"], "expected 1 to 4, the most that the model reads"],
    [["relu", ...tasks, "--batch=-1"], "--batch is -1"],
    [["relu", ...tasks, "--dtype=f16"], "--dtype is f16"],
    [["relu", ...tasks, "--device=tpu"], "--device is tpu"],
    [["relu", ...tasks, "--step=1.5"], "--step is 1.5"],
    [["relu", ...tasks, "--step=7"], "its checkpoints are of the steps 2, 3"],
    [["relu/checkpoints/step-000002", ...tasks, "--step=2"], "is a checkpoint already"],
    [["relu", ...tasks, "--output=text"], "Cannot write"],
    [["relu", ...tasks, "--output=text/0.txt/a.json"], "Cannot make"],
    [["relu", "--data=none.txt"], "none.txt"],
    [["relu", "--tassk=piqa"], "did you mean --tasks?"],
  ];
  for (const [args, words] of cases) {
    assertRefused(await runEvaluate(folder, ...args.filter((arg) => arg !== "")), words);
  }
  assertEquals(namesIn(folder.path), ["changed", "empty", "items", "link", "relu", "text"]);
  assertFalse(namesIn(`${folder.path}/relu`).includes("evaluation"));
});

Deno.test("`evaluate` refuses tasks for routers that see what is scored", async () => {
  for (const router of ["expert-choice", "lory"]) {
    using folder = new TemporaryFolder();
    await prepare(folder, router);
    const refused = await runEvaluate(folder, router, "--tasks=piqa", "--eval-data=items");
    assertRefused(refused, `Cannot score tasks with the router ${router}: it routes`);
    const text = await runEvaluate(folder, router, "--limit=1");
    assertEquals(text.code, 0, text.stderr);
    assert(text.stderr.includes(`The losses of the router ${router} are too low`), text.stderr);
    const twoSteps = [router, `${router}/checkpoints/step-000002`, "--limit=1"];
    const two = await runEvaluate(folder, ...twoSteps);
    assertEquals(two.code, 0, two.stderr);
    assert(two.stderr.includes(`${router} at step 2: The losses of the router`), two.stderr);
  }
});

Deno.test("the help names every flag, its default and the tasks", async () => {
  using folder = new TemporaryFolder();
  const { code, stdout } = await runEvaluate(folder, "--help");
  assertEquals(code, 0);
  for (const flag of Object.keys(EVALUATE_FLAGS)) assert(stdout.includes(`--${flag}`), flag);
  assert(stdout.includes("lambada_openai") && stdout.includes("[data.sequence]"), stdout);
});

Deno.test("progress shows pace and time left, in lines or on a terminal", () => {
  let now = 0;
  const lines = new CapturedOutput();
  const progress = new EvaluationProgress(lines, 1000, () => now);
  now = 4000;
  progress.add(100, "piqa");
  assertEquals(lines.stderr, "");
  now = 10_000;
  progress.add(100, "piqa");
  assertEquals(lines.stderr, "piqa  20 % of 1.00k tokens  20 tokens/s  40s left\n");
  progress.stop();
  const terminal = new CapturedOutput();
  const { result, text, progress: write, draw } = terminal;
  const output = { result, text, progress: write, draw, columns: 20 };
  const drawn = new EvaluationProgress(output, 1000, () => now);
  now += 1000;
  drawn.add(500, "piqa");
  drawn.stop();
  assertEquals(terminal.stderr, "\r\x1b[Kpiqa  50 % of 1.00k\r\x1b[K");
});
