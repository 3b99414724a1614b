/** Training from weights that were taken over. */
import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { Device } from "../../lib/autograd/device.ts";
import {
  Checkpoint,
  findRun,
  isFlips,
  isValidation,
  readMetrics,
  RunDirectory,
  type StepMetrics,
  train,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { linesOf, logitsOf, STILL, tiny, trained } from "./worlds.ts";

/** An expert's matrix at a run's newest checkpoint. */
function expertOf(run: string, expert: number): Float32Array {
  using checkpoint = Checkpoint.openNewest(`${run}/checkpoints`);
  const name = `model.layers.0.block_sparse_moe.experts.${expert}.w2.weight`;
  const { dtype, shape } = checkpoint.model.tensors.get(name)!;
  return new Float32Array(checkpoint.model.read(name, { dtype, shape }).buffer);
}

function stepsOf(run: string): StepMetrics[] {
  return readMetrics(`${run}/metrics.jsonl`)
    .filter((line): line is StepMetrics => !isValidation(line) && !isFlips(line));
}

Deno.test("noise follows from the seed, and differs between experts", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense"));
  const moe = { router: "hash", experts: 4 } as const;
  const start = async (name: string, seed: number, noise: number): Promise<Float32Array[]> => {
    const init = { from: `${path}/dense`, noise };
    await trained(tiny(path, name, { ...STILL, seed, moe, init }));
    return [0, 1].map((expert) => expertOf(`${path}/${name}`, expert));
  };
  const [plain, twin] = await start("plain", 1, 0);
  assertEquals(plain, twin);
  const [first, second] = await start("first", 1, 0.5);
  assertEquals(await start("again", 1, 0.5), [first!, second!]);
  assertNotEquals((await start("other", 2, 0.5))[0], first);
  assertNotEquals(first, second);
  const meanSquare = (values: Float32Array): number =>
    values.reduce((sum, value) => sum + value * value, 0) / values.length;
  const noise = first!.map((value, i) => value - plain![i]!);
  assertAlmostEquals(Math.sqrt(meanSquare(noise) / meanSquare(plain!)), 0.5, 0.06);
});

Deno.test("a resumed run equals an uninterrupted one bit for bit, without what it started from", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense"));
  const config = tiny(path, "moe", {
    model: { dtype: "f32" },
    moe: { router: "relu", experts: 4 },
    init: { from: `${path}/dense`, noise: 0.1 },
  });
  await trained(config);
  const [whole, kept] = [await logitsOf(`${path}/moe`), recordOf(`${path}/moe`)];
  Deno.removeSync(`${path}/dense`, { recursive: true });
  const notices = await resumed(`${path}/moe/checkpoints/step-000002`, config);
  assertEquals(linesOf(notices), []);
  assertEquals(await logitsOf(`${path}/moe`), whole);
  assertEquals(recordOf(`${path}/moe`), kept);
  assert(kept !== undefined);
});

function recordOf(run: string): unknown {
  using checkpoint = Checkpoint.openNewest(`${run}/checkpoints`);
  return checkpoint.state.init;
}

async function resumed(from: string, config: TrainConfig): Promise<string[]> {
  using device = await Device.open({ kind: "cpu", threads: 1 });
  const { directory, checkpoint } = RunDirectory.resume(findRun(from), config);
  using _directory = directory;
  using _checkpoint = checkpoint;
  const notices: string[] = [];
  const onNotice = (text: string): unknown => notices.push(text);
  await train(config, { device, directory, checkpoint, onNotice });
  return notices;
}

Deno.test("ReLU routing on a trained router begins in stage II, with λ from its start", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense", { steps: 1 }));
  await trained(tiny(path, "topk", { steps: 2, moe: { router: "topk", experts: 4 } }));
  const relu = { router: "relu", experts: 4, lambda0: 1e-7 } as const;
  const start = async (name: string, from: string): Promise<StepMetrics> => {
    await trained(tiny(path, name, { steps: 1, moe: relu, init: { from: `${path}/${from}` } }));
    return stepsOf(`${path}/${name}`)[0]!;
  };
  const [kept, fresh] = [await start("kept", "topk"), await start("fresh", "dense")];
  assertEquals([kept.lambda, fresh.lambda], [1e-7, 1e-7]);
  assertEquals(fresh.stage, "dense");
  assert(kept.stage !== "dense", kept.stage);
  using checkpoint = Checkpoint.openNewest(`${path}/kept/checkpoints`);
  assertEquals(checkpoint.state.stage.sparsifying_from, 0);
});

Deno.test("copied experts put out as much as the dense layer on average", async () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  await trained(tiny(path, "dense", { steps: 10 }));
  for (const router of ["relu", "topk", "expert-choice"] as const) {
    const start = async (name: string, rescale: boolean): Promise<number> => {
      const init = { from: `${path}/dense`, rescale };
      const moe = { router, experts: 8 };
      await trained(tiny(path, `${router}-${name}`, { ...STILL, moe, init }));
      const [logits, dense] = await Promise.all(
        [`${path}/${router}-${name}`, `${path}/dense`].map(logitsOf),
      );
      return Math.hypot(...logits!.map((value, i) => value - dense![i]!));
    };
    assert(await start("scaled", true) < await start("plain", false), router);
  }
});
