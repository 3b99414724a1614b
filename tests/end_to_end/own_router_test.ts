/** The docs' examples of user-defined routers, trained from another folder. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "../../lib/files.ts";
import { listCheckpoints, openModel } from "../../lib/train/mod.ts";
import { readSync } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { modelBytes, runTrain, startTrain, TestFolder, TINY, writeText } from "./run_train.ts";

const EXAMPLE = new URL("../../docs/examples/scaled_relu_router.ts", import.meta.url);

Deno.test("a router that looks ahead trains without samples, and generates nothing", async () => {
  await using folder = await TestFolder.make();
  const row = (await Deno.readTextFile(EXAMPLE)).replace(
    "lambda: true,",
    "lambda: true, causal: false,",
  );
  assertStringIncludes(row, "causal: false");
  await Deno.writeTextFile(`${folder.path}/ahead.ts`, row);
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--router", "ahead.ts", "--steps", "1", "--out", "run"];
  const { code, stderr } = await runTrain(args, folder.path);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "The router ahead routes a token by those after it");
  assert(![...Deno.readDirSync(`${folder.path}/run`)].some(({ name }) => name === "samples.txt"));
  const generate = new URL("../../cli/generate.ts", import.meta.url).pathname;
  const refused = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", generate, "--run", `${folder.path}/run`, "--prompt", "a"],
  }).output();
  assertEquals(refused.code, 1);
  const said = new TextDecoder().decode(refused.stderr);
  assertStringIncludes(said, "Cannot generate with the router ahead");
});

Deno.test("a router from a file trains, is recorded, resumes bit for bit, and may not change", async () => {
  await using folder = await TestFolder.make();
  const file = `${folder.path}/my_router.ts`;
  await Deno.copyFile(EXAMPLE, file);
  const text = await writeText(folder.path);
  const own = ["--router", "./my_router.ts", "--set", "moe.input_scale=3"];
  const args = [...TINY, "--data", text, ...own, "--set", "schedule.warmup=2"];
  const train = async (...more: string[]) => {
    const { code, stderr } = await runTrain([...args, ...more], folder.path);
    assertEquals(code, 0, stderr);
  };
  await train("--steps", "6", "--out", "straight");
  await train("--steps", "6", "--out", "halved", "--set", "checkpoint.every=3");

  const config = JSON.parse(await Deno.readTextFile(`${folder.path}/straight/config.json`));
  const bytes = await crypto.subtle.digest("SHA-256", await Deno.readFile(file));
  const sha256 = new Uint8Array(bytes).toHex();
  assertEquals(config.moe.input_scale, 3);
  assertEquals([config.moe.router, config.moe.router_file.sha256], [file, sha256]);
  const state = `${folder.path}/straight/checkpoints/step-000006/state.json`;
  assertEquals(JSON.parse(await Deno.readTextFile(state)).router, { path: file, sha256 });
  const lines = (await Deno.readTextFile(`${folder.path}/straight/metrics.jsonl`)).trim().split(
    "\n",
  );
  const steps = lines.map((line) => JSON.parse(line)).filter((line) => "loss" in line);
  assert(steps[0].l1_reg > 0 && steps[1].lambda !== steps[0].lambda, "λ follows the sparsity");

  const resume = ["--resume", "halved/checkpoints/step-000003"];
  const resumed = await runTrain(resume, folder.path);
  assertEquals(resumed.code, 0, resumed.stderr);
  const [straight, halved] = await Promise.all(
    ["straight", "halved"].map((out) => modelBytes(`${folder.path}/${out}`, 6)),
  );
  assertEquals(straight, halved);

  // Refused before its code runs.
  const changed = `${await Deno.readTextFile(file)}throw new Error("this code ran");\n`;
  await Deno.writeTextFile(file, changed);
  const refused = await runTrain(["--resume", "halved", "--steps", "9"], folder.path);
  assertEquals(refused.code, 1);
  assertEquals(refused.stderr.includes("this code ran"), false);
  assertStringIncludes(refused.stderr, `Cannot use the router ${file}: the file has changed`);
});

Deno.test("a router of tensor operations alone is held to its sparsity", async () => {
  await using folder = await TestFolder.make();
  const file = new URL("../../docs/examples/squared_relu_router.ts", import.meta.url);
  await Deno.copyFile(file, `${folder.path}/squared.ts`);
  const text = await writeText(folder.path);
  const own = ["--router", "squared.ts", "--set", "moe.lambda0=1", "--set", "moe.sharpness=3"];
  const { code, stderr } = await runTrain(
    [...TINY, "--data", text, ...own, "--steps", "60", "--out", "run"],
    folder.path,
  );
  assertEquals(code, 0, stderr);
  const lines = (await Deno.readTextFile(`${folder.path}/run/metrics.jsonl`)).trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line)).filter((line) => "loss" in line);
  const { experts, active } =
    JSON.parse(await Deno.readTextFile(`${folder.path}/run/config.json`)).moe;
  const target = 1 - active / experts;
  const gap = ({ sparsity }: { sparsity: number }) => Math.abs(sparsity - target);
  assert(steps[0].l1_reg > 0, "the term is recorded");
  assert(
    gap(steps.at(-1)) < 0.5 * gap(steps[0]),
    `${steps[0].sparsity} to ${steps.at(-1).sparsity}`,
  );
});

Deno.test("a router's buffer that it moves after each step survives a kill, bit for bit", async () => {
  await using folder = await TestFolder.make();
  const file = new URL("../../docs/examples/threshold_router.ts", import.meta.url);
  await Deno.copyFile(file, `${folder.path}/threshold.ts`);
  const text = await writeText(folder.path);
  const args = [...TINY, "--data", text, "--router", "threshold.ts", "--steps", "40"];
  args.push("--set", "moe.threshold_rate=0.03", "--set", "checkpoint.every=5");
  const straight = await runTrain([...args, "--out", "straight"], folder.path);
  assertEquals(straight.code, 0, straight.stderr);

  const child = startTrain([...args, "--out", "killed"], folder.path);
  const checkpoints = `${folder.path}/killed/checkpoints`;
  for (let i = 0; i < 2400 && !exists(`${checkpoints}/step-000010`); i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  child.kill("SIGKILL");
  await child.output();
  const [newest] = listCheckpoints(checkpoints);
  assert(newest !== undefined && newest.step < 40, `${newest?.step}`);
  const resumed = await runTrain(["--resume", "killed"], folder.path);
  assertEquals(resumed.code, 0, resumed.stderr);
  const [whole, cut] = await Promise.all(
    ["straight", "killed"].map((out) => modelBytes(`${folder.path}/${out}`, 40)),
  );
  assertEquals(cut, whole);

  using device = await openDevice({ seed: 1 });
  using opened = await openModel(device, `${folder.path}/straight`);
  const thresholds = [...opened.model.buffers()].flatMap((buffer) => [...readSync(buffer)]);
  assert(thresholds.some((value) => Math.abs(value) > 0.3), `${thresholds}`);
});
