import { assert, assertEquals, assertMatch } from "@std/assert";
import { ROUTER_NAMES, type RouterName } from "../../lib/moe/routers.ts";
import { modelBytes, runTrain, startTrain, TestFolder, TINY, writeText } from "./run_train.ts";

Deno.test("train writes a complete run directory and ends with a sample", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--out", "run", "--steps", "12"];
  const settings = ["--set", "validation.every=4", "--set", "checkpoint.every=5"];
  const { code, stdout, stderr } = await runTrain([...args, ...settings], folder.path);
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /loss/i);

  const run = `${folder.path}/run`;
  const lines = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trim().split("\n");
  const parsed = lines.map((line) => JSON.parse(line));
  const steps = parsed.filter((line) => "loss" in line);
  assertEquals(steps.map(({ step }) => step), Array.from({ length: 12 }, (_, i) => i + 1));
  assertEquals(parsed.filter((line) => "valid_loss" in line).map(({ step }) => step), [4, 8, 12]);
  const [first] = steps;
  const keys = "step loss lr grad_norm sparsity sparsity_per_layer lambda l1_reg expert_load " +
    "tokens_without_expert idle_experts closed_layers stage dtype tokens tokens_per_second gflops " +
    "gflops_executed ms memory_bytes";
  assertEquals(Object.keys(first).sort(), keys.split(" ").sort());
  assertEquals(first.tokens, 4 * 32);
  assert(Math.abs(first.loss - Math.log(257)) < 0.2, `loss at the start: ${first.loss}`);
  assertEquals(first.lambda, 1e-8);
  for (const load of first.expert_load) {
    assert(Math.abs(load.reduce((sum: number, share: number) => sum + share) - 1) < 1e-9);
  }
  assert(steps.at(-1).loss < first.loss, "the loss falls");

  const checkpoints = [...Deno.readDirSync(`${run}/checkpoints`)].map(({ name }) => name).sort();
  assertEquals(checkpoints, ["step-000010", "step-000012"]);
  const files = [...Deno.readDirSync(`${run}/checkpoints/step-000012`)].map(({ name }) => name);
  const expected = ["DONE", "model.safetensors", "optimizer.safetensors", "state.json"];
  assertEquals(files.sort(), expected);
  assertMatch(await Deno.readTextFile(`${run}/samples.txt`), /=== step 12 ===/);
  assertEquals(JSON.parse(await Deno.readTextFile(`${run}/config.json`)).steps, 12);
});

Deno.test("two runs with one seed are equal bit for bit, and another seed differs", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--steps", "8"];
  for (const [out, seed] of [["a", "5"], ["b", "5"], ["c", "6"]] as const) {
    const { code, stderr } = await runTrain([...args, "--out", out, "--seed", seed], folder.path);
    assertEquals(code, 0, stderr);
  }
  const [a, b, c] = await Promise.all(
    ["a", "b", "c"].map((out) => modelBytes(`${folder.path}/${out}`, 8)),
  );
  assertEquals(a, b);
  assert(a!.some((byte, i) => byte !== c![i]), "another seed gives other weights");
});

/** Settings under which a run keeps more from step to step than its router's defaults do. */
const RESUMED: readonly (readonly [RouterName, ...string[]])[] = [
  ...ROUTER_NAMES.map((router) => [router] as const),
  ["relu", "moe.lambda_rule=proportional", "moe.activation=tanh", "moe.balance=transport"],
];

for (const [router, ...settings] of RESUMED) {
  const named = [`the ${router} router`, ...settings].join(", ");
  Deno.test(`a killed run of ${named} resumes bit for bit`, async () => {
    await using folder = await TestFolder.make();
    const text = await writeText(folder.path);
    const steps = ["--steps", "40", "--router", router, "--set", "checkpoint.every=5"];
    const set = ["sample.every=0", ...settings].flatMap((setting) => ["--set", setting]);
    const args = [...TINY, "--data", text, ...steps, ...set];
    const straight = await runTrain([...args, "--out", "straight"], folder.path);
    assertEquals(straight.code, 0, straight.stderr);

    const killed = startTrain([...args, "--out", "killed"], folder.path);
    const run = `${folder.path}/killed`;
    await waitForStep(`${run}/metrics.jsonl`, 11);
    killed.kill("SIGKILL");
    const { code, signal } = await killed.output();
    assert(code !== 0 || signal !== null, "the run was to be killed before its end");

    const resumed = await runTrain(["--resume", "killed"], folder.path);
    assertEquals(resumed.code, 0, resumed.stderr);
    assertEquals(await modelBytes(run, 40), await modelBytes(`${folder.path}/straight`, 40));
    const metrics = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trim().split("\n");
    const taken = metrics.map((line) => JSON.parse(line)).filter((line) => "loss" in line);
    assertEquals(taken.map(({ step }) => step), Array.from({ length: 40 }, (_, i) => i + 1));
  });
}

Deno.test("Ctrl-C saves and exits with code 130, and the run resumes from there", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--out", "run", "--steps", "5000"];
  const process = startTrain([...args, "--set", "checkpoint.every=0"], folder.path);
  await waitForStep(`${folder.path}/run/metrics.jsonl`, 3);
  process.kill("SIGINT");
  const { code, stderr } = await process.output();
  assertEquals(code, 130, new TextDecoder().decode(stderr));
  const [saved] = [...Deno.readDirSync(`${folder.path}/run/checkpoints`)];
  const step = Number(saved!.name.replace("step-", ""));
  assert(step >= 3);

  const more = ["--resume", "run", "--steps", String(step + 2)];
  const resumed = await runTrain(more, folder.path);
  assertEquals(resumed.code, 0, resumed.stderr);
  assert((await modelBytes(`${folder.path}/run`, step + 2)).length > 0);
});

Deno.test("accumulation over micro-batches covers every token of the step", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--steps", "3", "--router", "topk"];
  const losses: number[] = [];
  for (const size of ["4", "2"]) {
    const set = ["--set", `data.micro_batch=${size}`, "--set", "moe.balance_coefficient=0"];
    const { code, stderr } = await runTrain([...args, ...set, "--out", size], folder.path);
    assertEquals(code, 0, stderr);
    const metrics = await Deno.readTextFile(`${folder.path}/${size}/metrics.jsonl`);
    const last = JSON.parse(
      metrics.trim().split("\n").filter((line) => line.includes('"ms"')).at(-1)!,
    );
    assertEquals(last.tokens, 3 * 4 * 32);
    losses.push(last.loss);
  }
  assert(Math.abs(losses[0]! - losses[1]!) < 1e-4, `losses ${losses}`);
});

/** Waits until the metrics contain a step's line. */
async function waitForStep(path: string, step: number): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.includes(`"step":${step},`)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`Step ${step} was not reached within a minute`);
}
