/** Routers whose state or k changes with the steps, from the training loop to generation. @module */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { read, write } from "../../mod.ts";
import { generate } from "../../lib/generate/mod.ts";
import { openModel } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { modelBytes, runTrain, TestFolder, TINY, writeText } from "./run_train.ts";

const RATE = 0.01;
const STEPS = 6;

/** The biases of each layer that follow from the logged loads. */
async function replayed(run: string): Promise<Float32Array[]> {
  const lines = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trim().split("\n");
  const biases: Float32Array[] = [];
  for (const { expert_load } of lines.map((line) => JSON.parse(line))) {
    for (const [layer, load] of (expert_load as number[][] | undefined ?? []).entries()) {
      const bias = biases[layer] ??= new Float32Array(load.length);
      const mean = load.reduce((sum, share) => sum + share, 0) / load.length;
      load.forEach((share, e) => bias[e]! += RATE * Math.sign(mean - share));
    }
  }
  return biases;
}

Deno.test("the sigmoid router's biases follow the load of all micro-batches, and are saved and loaded", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const set = ["moe.active=2", `moe.bias_rate=${RATE}`, "data.micro_batch=2", "sample.every=0"];
  const args = [...TINY, "--data", text, "--router", "sigmoid", "--steps", String(STEPS)];
  args.push(...set.flatMap((each) => ["--set", each]));
  const train = async (...more: string[]): Promise<void> => {
    const { code, stderr } = await runTrain(more, folder.path);
    assertEquals(code, 0, stderr);
  };
  await train(...args, "--out", "straight");
  await train(...args, "--out", "halved", "--set", "checkpoint.every=3");
  await train("--resume", "halved/checkpoints/step-000003");
  const [straight, halved] = [`${folder.path}/straight`, `${folder.path}/halved`];
  assertEquals(await modelBytes(straight, STEPS), await modelBytes(halved, STEPS));

  using device = await openDevice({ seed: 1 });
  using opened = await openModel(device, halved);
  const buffers = [...opened.model.buffers()];
  assertEquals(
    buffers.map(({ name }) => name),
    [0, 1].map((layer) => `model.layers.${layer}.block_sparse_moe.gate.e_score_correction_bias`),
  );
  const biases = await Promise.all(buffers.map((buffer) => read(buffer)));
  assertEquals(biases, await replayed(straight));
  assert(biases.every((bias) => bias.some((value) => Math.abs(value) > 1.5 * RATE)));

  const continued = async (): Promise<string> => {
    let all = "";
    const options = { ...opened, device, tokens: 24, temperature: 0 };
    for await (const piece of generate(["Line"], options)) all += piece.text;
    return all;
  };
  const before = await continued();
  assertEquals(await continued(), before);
  const logits = async (): Promise<Float32Array> => {
    using _scope = device.scope();
    return await read(opened.model.logits(device.tokens([1, 2, 3, 4]), 4));
  };
  const trained = await logits();
  for (const buffer of buffers) write(buffer, Array.from({ length: buffer.size }, (_, e) => e));
  assertNotEquals(await logits(), trained, "the biases decide which experts run");
});

Deno.test("a near-dense warmup changes k at its last step, in metrics, stage and a resumed run", async () => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const set = ["moe.warmup_active=3", "moe.warmup_steps=4", "moe.gate_scale=2", "sample.every=0"];
  const args = [...TINY, "--data", text, "--router", "topk", "--steps", String(STEPS)];
  args.push(...set.flatMap((each) => ["--set", each]), "--set", "checkpoint.every=3");
  for (const more of [[...args, "--out", "run"], [...args, "--out", "cut"]]) {
    const { code, stderr } = await runTrain(more, folder.path);
    assertEquals(code, 0, stderr);
  }
  const resumed = await runTrain(["--resume", "cut/checkpoints/step-000003"], folder.path);
  assertEquals(resumed.code, 0, resumed.stderr);
  assertEquals(
    await modelBytes(`${folder.path}/cut`, STEPS),
    await modelBytes(`${folder.path}/run`, STEPS),
  );
  for (const run of ["run", "cut"]) {
    const config = JSON.parse(await Deno.readTextFile(`${folder.path}/${run}/config.json`));
    const { experts, active } = config.moe;
    const lines = (await Deno.readTextFile(`${folder.path}/${run}/metrics.jsonl`)).trim();
    const steps = lines.split("\n").map((line) => JSON.parse(line)).filter((line) => "ms" in line);
    assertEquals(
      steps.map(({ sparsity, stage }) => [Math.round(experts * (1 - sparsity)), stage]),
      [...Array(4).fill([3, "dense"]), ...Array(2).fill([active, "sparse"])],
    );
  }
});
