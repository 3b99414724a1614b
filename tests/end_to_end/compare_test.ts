/** `cli/compare.ts` as a user runs it: real processes, killed and resumed. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { lastStep } from "../../cli/compare/progress.ts";
import { exists } from "../../lib/files.ts";
import type { CompareResults } from "../../lib/compare/results.ts";
import { modelBytes, TestFolder, writeText } from "./run_train.ts";

const COMPARE = fileURLToPath(new URL("../../cli/compare.ts", import.meta.url));

const ARGS = [
  ...["--routers", "topk,relu", "--seeds", "2", "--steps", "200", "--preset", "pico"],
  ...["--data", "text", "--jobs", "2", "--match", "compute", "--noise", "none"],
  ...["batch=4", "sequence=32", "cache=cache"].flatMap((it) => ["--set", `data.${it}`]),
  ...["--set", "model.hidden=32", "--set", "sample.tokens=1", "--set", "checkpoint.every=20"],
  ...["--set", "validation.every=100", "--set", "validation.batches=2"],
];

function start(folder: string, out: string, ...more: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", COMPARE, ...ARGS, "--out", out, ...more],
    cwd: folder,
    env: { INIT_CWD: folder, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function finish(child: Deno.ChildProcess): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await child.output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Steps that the runs of a comparison have taken. */
function stepsIn(folder: string): number {
  return ["relu-s0", "relu-s1", "topk-s0", "topk-s1"]
    .reduce((sum, run) => sum + lastStep(`${folder}/runs/${run}/run/metrics.jsonl`), 0);
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it took a minute");
}

async function resultsIn(folder: string): Promise<CompareResults> {
  return JSON.parse(await Deno.readTextFile(`${folder}/results.json`));
}

/** What of the results has nothing to do with time. */
function figures({ runs }: CompareResults): unknown {
  return runs.map(({ row, seed, result }) => ({
    row,
    seed,
    steps: result?.steps,
    flops: result?.flops,
    validations: result?.validations,
    sparsity: result?.routing?.sparsity_curve,
  }));
}

Deno.test("a comparison that is stopped and killed comes to what it would have without", async () => {
  await using folder = await TestFolder.make();
  await writeText(folder.path);
  const [straight, broken] = ["straight", "broken"].map((name) => `${folder.path}/${name}`);
  const whole = await finish(start(folder.path, straight!));
  assertEquals(whole.code, 0, whole.text);

  const stopped = start(folder.path, broken!);
  const lock = `${broken}/.lock`;
  await until(() => exists(lock) && Deno.readTextFileSync(lock) === `${stopped.pid}\n`);
  const second = await finish(start(folder.path, broken!));
  assertEquals(second.code, 1);
  assertStringIncludes(second.text, `process ${stopped.pid} is comparing in it`);
  await until(() => stepsIn(broken!) > 2);
  stopped.kill("SIGINT");
  const interrupted = await finish(stopped);
  assertEquals(interrupted.code, 130, interrupted.text);
  assertStringIncludes(interrupted.text, "the same command resumes");

  // Its processes train on, and the next command waits for them.
  const before = stepsIn(broken!);
  const killed = start(folder.path, broken!);
  await until(() => stepsIn(broken!) > before + 2);
  killed.kill("SIGKILL");
  await finish(killed);
  const resumed = await finish(start(folder.path, broken!));
  assertEquals(resumed.code, 0, resumed.text);

  const [one, two] = [await resultsIn(straight!), await resultsIn(broken!)];
  assertEquals(figures(two), figures(one));
  const weights = (out: string): Promise<Uint8Array> => modelBytes(`${out}/runs/relu-s0/run`, 200);
  assertEquals(await weights(broken!), await weights(straight!));
  const [topk, relu] = one.rows.map(({ figures }) => figures!);
  // The nearest number of steps.
  assert(Math.abs(topk!.flops.mean / relu!.flops.mean - 1) < 0.005);
  assert(topk!.steps.mean > relu!.steps.mean);

  const again = await finish(start(folder.path, broken!));
  assertEquals(again.code, 0);
  assert(!again.text.includes("after 200 steps"), again.text);
});
