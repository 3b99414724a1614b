/** What `train` says about a run besides its metrics: where it starts and what has no effect. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { trainCommand } from "../../../cli/train/command.ts";
import { dryRunReport } from "../../../cli/train/dry_run.ts";
import { openTokenizer } from "../../../lib/data/mod.ts";
import { ROUTER_NAMES, ROUTERS } from "../../../lib/moe/routers.ts";
import { findRun, listCheckpoints, parseConfig, readMetrics } from "../../../lib/train/mod.ts";
import type { StepMetrics } from "../../../lib/train/mod.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";
import { assertRefused, runGenerate, runTrain, writeText } from "../refusal.ts";

/** The smallest model, on a folder's text, without a warmup that would be reported. */
const SMALL = [
  "--set=model.hidden=16",
  "--set=model.ffn=32",
  "--set=schedule.warmup=1",
  "--data=text",
];

async function withText(test: (folder: string) => Promise<void>): Promise<void> {
  using folder = new TemporaryFolder();
  writeText(folder.path);
  try {
    await test(folder.path);
  } finally {
    await Deno.remove(`${folder.path}.cache`, { recursive: true }).catch(() => {});
  }
}

async function trained(folder: string, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await runTrain(folder, args);
  assertEquals(code, 0, stderr);
  return stderr + stdout;
}

async function dryRun(...args: string[]): Promise<string> {
  const output = new CapturedOutput();
  const never = () => Promise.reject(new Error("it would train"));
  assertEquals(await trainCommand(["--dry-run", ...args], output, never), 0, output.stderr);
  return output.stdout;
}

Deno.test("a run that never validates needs no validation text, and one that does says how to give it", async () => {
  await withText(async (folder) => {
    const flags = [...SMALL.slice(0, -1), "--sequence=200", "--steps=2", "--batch=1"];
    const one = ["--data=text/0.txt"];
    const message = assertRefused(
      await runTrain(folder, [...flags, ...one, "--out=a"]),
      "Cannot validate on rows of 200 tokens",
      "data.validation_fraction is 0.05",
      "validation.every=0",
    );
    assert(!message.includes("validation_paths"), message);
    const said = await trained(folder, ...flags, ...one, "--set=validation.every=0", "--out=b");
    assert(said.includes("Nothing is validated (validation.every is 0)"), said);
    assert(!said.includes("nats per token,"), said);
    await trained(folder, ...flags, ...one, "--set=data.validation_fraction=0.3", "--out=c");
    assertRefused(
      await runTrain(folder, [
        ...flags,
        "--data=text",
        "--set",
        'data.validation_paths=["text/0.txt"]',
        "--sequence=2000",
        "--out=d",
      ]),
      "more text in data.validation_paths",
    );
  });
});

Deno.test("a resume says where it starts, and whether any steps are left", async () => {
  await withText(async (folder) => {
    const first = await trained(folder, ...SMALL, "--set=threads=1", "--out=run");
    assert(!first.includes("Resumes"), first);
    assert(!first.includes("computed otherwise"), first);
    const done = await trained(folder, "--resume", "run");
    assertMatch(
      done,
      /\nResumes {5}at step 3, from .*\/run\/checkpoints\/step-000003; all 3 steps are taken; raise --steps/,
    );
    const flags = ["--steps=5", "--set=threads=2", "--lr=5e-4"];
    const again = await trained(folder, "--resume", "run", ...flags);
    assertMatch(
      again,
      /\nChanged from here on: steps 3 became 5, threads 1 became 2, optimizer.lr 0.003 became 0.0005\n/,
    );
    assertMatch(again, /step-000003; 2 of 5 steps to go\n/);
    assert(again.includes("The run was computed otherwise before: threads 1 became 2;"), again);
    const [newest] = listCheckpoints(`${folder}/run/checkpoints`);
    const state = JSON.parse(Deno.readTextFileSync(`${newest!.path}/state.json`));
    assertEquals(state.machine.threads, "2");
    // A checkpoint of an earlier version does not record its machine.
    assertEquals(findRun(`${folder}/run`).config.threads, 2);
  });
});

Deno.test("values without effect are reported", async (t) => {
  const cases: [flags: string[], words: string | null][] = [
    [["--steps=30", "--set=schedule.warmup=10"], null],
    [["--steps=10", "--set=schedule.warmup=10"], "only rises and ends at its peak"],
    [["--steps=5", "--set=schedule.warmup=10"], "only rises and ends at 5/10 of its peak"],
    [["--set=validation.every=0"], "Nothing is validated"],
    [
      ["--set", 'data.validation_paths=["x"]', "--set=data.validation_fraction=0.2"],
      "data.validation_fraction has no effect beside",
    ],
    [["--preset=182m", "--set", 'data.validation_paths=["x"]'], null],
    [["--set=moe.balance=none", "--set=moe.alpha=1.5"], "moe.alpha has no effect"],
    [["--set=moe.balance=plain", "--set=moe.alpha=1.5"], null],
  ];
  for (const [flags, words] of cases) {
    await t.step(flags.join(" "), async () => {
      const said = await dryRun(...flags);
      if (words !== null) assert(said.includes(words), said);
      else assert(!/only rises|no effect|Nothing is validated/.test(said), said);
    });
  }
});

Deno.test("a dry run names missing texts and devices, and what is too small", async () => {
  using folder = new TemporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  Deno.writeTextFileSync(at("a.txt"), "text");
  const said = await dryRun(
    `--data=${at("a.txt")}`,
    `--data=books=${at("none.txt")}`,
    `--data=${at("*.txt")}`,
    `--data=${at("*.gz")}`,
    `--set=data.validation_paths=["${at("gone")}"]`,
    "--device=cuda",
  );
  const [, refused = ""] = said.split("As things are, the run would be refused:\n");
  const lines = refused.trimEnd().split("\n").map((line) => line.slice("  - ".length));
  assertEquals(lines.slice(0, 3), [
    `Cannot read ${at("none.txt")}: there is no such file or folder`,
    `Cannot read ${at("*.gz")}: no file matches it`,
    `Cannot read ${at("gone")}: there is no such file or folder`,
  ]);
  assertMatch(lines[3]!, /^Cannot open .*(cuda|CUDA|device)/);
  assert(!(await dryRun()).includes("refused"));
});

Deno.test("a dry run compares the run with the memory granted", () => {
  const config = parseConfig({ preset: "pico" });
  assert(
    dryRunReport(config, { memory: 2 ** 24 }).includes("too little, the run would be refused"),
  );
  const named = parseConfig({ preset: "pico", memory: { limit_gib: 3 } });
  const said = dryRunReport(named, { memory: 2 ** 31 });
  assert(said.includes("3.00 GiB: the machine grants 2.00 GiB, the run would be refused"), said);
  assert(
    dryRunReport(named, { memory: 2 ** 32 }).includes("Limit         3.00 GiB of device memory"),
  );
});

Deno.test("a dry run asks the device's kernels for their scratch memory, or says that it cannot", async () => {
  const said = await dryRun("--preset=pico");
  assert(!said.includes("without the kernels' own"), said);
  const without = dryRunReport(parseConfig({ preset: "pico" }));
  assert(without.includes("without the kernels' own"), without);
  const scratch = (text: string) => /scratch .*/.exec(text)?.[0];
  assert(scratch(said) !== scratch(without), said);
});

Deno.test("λ is shown and written only for routers that have it", async () => {
  await withText(async (folder) => {
    for (const router of ROUTER_NAMES) {
      const { lambda: hasLambda, routed, merges } = ROUTERS[router];
      const said = await trained(folder, ...SMALL, `--router=${router}`, `--out=${router}`);
      assertEquals(/λ \d/.test(said), hasLambda, said);
      assertEquals(/sparsity \d/i.test(said), routed && !merges, said);
      assertEquals(/causal \d/.test(said), merges, said);
      const steps = readMetrics(`${folder}/${router}/metrics.jsonl`)
        .filter((line): line is StepMetrics => "loss" in line);
      assert(steps.every(({ lambda }) => (lambda > 0) === hasLambda));
    }
  });
});

Deno.test("`generate` takes any number of prompts, and prints nothing before it can generate", async () => {
  await withText(async (folder) => {
    await trained(folder, ...SMALL, "--out=run", "--steps=1", "--set=sample.tokens=1");
    const prompts = 150_000;
    Deno.writeTextFileSync(`${folder}/prompts`, "a\n".repeat(prompts));
    const args = ["--run=run", "--prompts=prompts", "--tokens=1", "--temperature=0", "--json"];
    const { code, stdout, stderr } = await runGenerate(folder, args);
    assertEquals(code, 0, stderr);
    const answers = stdout.trimEnd().split("\n");
    assertEquals(answers.length, prompts);
    assertEquals(new Set(answers).size, 1);
    const { text } = JSON.parse(answers[0]!) as { text: string };
    assert((await openTokenizer("byte")).encode(text).length <= 3);
    const huge = ["--run=run", "--prompt=Once", "--tokens=2000000000"];
    assertRefused(await runGenerate(folder, huge), "Cannot");
  });
});
