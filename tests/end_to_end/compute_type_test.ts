/** Runs that compute in bf16: how they learn, resume, and open in another type. @module */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import { read } from "../../mod.ts";
import { generate } from "../../lib/generate/mod.ts";
import { openModel } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { modelBytes, runTrain, TestFolder, TINY, writeText } from "./run_train.ts";

const STEPS = 12;

/** A folder with a text, and commands run in it that must succeed. */
async function workplace() {
  const folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const train = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runTrain(args, folder.path);
    assertEquals(code, 0, stderr);
    return stdout + stderr;
  };
  const settings = ["--steps", String(STEPS), "--set", "sample.every=0"];
  const start = (out: string, dtype: string, ...more: string[]) =>
    train(
      ...TINY,
      "--data",
      text,
      ...settings,
      "--set",
      `model.dtype=${dtype}`,
      "--out",
      out,
      ...more,
    );
  const path = (run: string): string => `${folder.path}/${run}`;
  return { path, train, start, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function steps(run: string): Promise<{ loss: number; valid_loss?: number; dtype: string }[]> {
  const lines = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trim().split("\n");
  return lines.map((line) => JSON.parse(line)).filter((line) => "ms" in line);
}

/** The type that the run's config.json names. */
async function storedType(run: string): Promise<string> {
  return JSON.parse(await Deno.readTextFile(`${run}/config.json`)).model.dtype;
}

for (const router of ["relu", "topk", "lory"]) {
  Deno.test(`a bf16 run of the ${router} router learns as in fp32, and resumes bit for bit`, async () => {
    await using at = await workplace();
    const more = ["--router", router, "--set", "checkpoint.every=6"];
    await at.start("fp32", "f32", ...more);
    await at.start("straight", "bf16", ...more);
    await at.start("cut", "bf16", ...more);
    await at.train("--resume", "cut/checkpoints/step-000006");

    const [bytes, resumed, other] = await Promise.all(
      ["straight", "cut", "fp32"].map((run) => modelBytes(at.path(run), STEPS)),
    );
    assertEquals(resumed, bytes);
    assertNotEquals(other, bytes);
    assertEquals(await storedType(at.path("cut")), "bf16");

    const [narrow, wide] = [await steps(at.path("straight")), await steps(at.path("fp32"))];
    assertEquals(narrow.map(({ dtype }) => dtype), Array(STEPS).fill("bf16"));
    assertEquals(wide.map(({ dtype }) => dtype), Array(STEPS).fill("f32"));
    for (const [step, { loss }] of narrow.entries()) {
      assertAlmostEquals(loss, wide[step]!.loss, 0.02, `the loss of step ${step + 1}`);
    }
  });
}

Deno.test("`auto` computes a small model in fp32, and the run's config.json names it", async () => {
  await using at = await workplace();
  const said = await at.start("run", "auto");
  assertEquals(await storedType(at.path("run")), "f32");
  assertEquals((await steps(at.path("run")))[0]!.dtype, "f32");
  assertMatch(said, /^Type +f32 \(auto: /m);
});

Deno.test("a run from before there were types resumes in fp32, bit for bit", async () => {
  await using at = await workplace();
  const more = ["--set", "checkpoint.every=6"];
  await at.start("straight", "f32", ...more);
  await at.start("old", "f32", ...more);
  const file = `${at.path("old")}/config.json`;
  const config = JSON.parse(await Deno.readTextFile(file));
  delete config.model.dtype;
  await Deno.writeTextFile(file, JSON.stringify(config));
  await at.train("--resume", "old/checkpoints/step-000006");
  assertEquals(
    await modelBytes(at.path("old"), STEPS),
    await modelBytes(at.path("straight"), STEPS),
  );
});

Deno.test("a bf16 run opens in its own type or in fp32, and continues texts as it trained", async () => {
  await using at = await workplace();
  await at.start("run", "bf16");
  using device = await openDevice({ seed: 1 });
  const logits: Float32Array[] = [];
  for (const dtype of ["bf16", "f32"] as const) {
    using opened = await openModel(device, at.path("run"), dtype === "bf16" ? {} : { dtype });
    assertEquals(opened.model.dtype, dtype);
    const tokens = [76, 105, 110, 101, 32];
    using _scope = device.scope();
    logits.push(await read(opened.model.nextLogits(device.tokens(tokens))));
    const options = { ...opened, device, tokens: 4, temperature: 0 };
    const texts: string[] = [];
    for await (const { text } of generate(["Line "], options)) texts.push(text);
    assert(texts.join("").length > 0);
  }
  const [narrow, wide] = logits as [Float32Array, Float32Array];
  assertNotEquals(narrow, wide);
  narrow.forEach((value, i) => assertAlmostEquals(value, wide[i]!, 0.1));
});
