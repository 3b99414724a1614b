import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { ValidationSet } from "../../lib/data/batches/validation_set.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import { runCorpus } from "../../lib/model/run_corpus.ts";
import type { RouterName } from "../../lib/moe/routers.ts";
import {
  type FlipMetrics,
  isFlips,
  openModel,
  parseConfig,
  readMetrics,
  RunDirectory,
  train,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { configNotices } from "../../lib/config/notices.ts";
import { Device, read } from "../../mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

function configIn(folder: TemporaryFolder, name: string, router: RouterName, every: number) {
  const text = `${folder.path}/text.txt`;
  Deno.writeTextFileSync(text, "The quick brown fox jumps over the lazy dog. ".repeat(60));
  return parseConfig({
    preset: "pico",
    steps: 6,
    device: "cpu",
    threads: 1,
    model: { hidden: 16, heads: 2, ffn: 16 },
    moe: router === "dense" ? { router } : { router, experts: 4 },
    data: {
      paths: [text],
      validation_paths: [text],
      batch: 4,
      sequence: 16,
      cache: `${folder.path}/cache`,
    },
    checkpoint: { every: 1, keep: 0 },
    validation: { every: 0 },
    sample: { tokens: 2 },
    schedule: { warmup: 0 },
    flips: { every },
    out: `${folder.path}/${name}`,
  });
}

async function flipsOf(config: TrainConfig, device: Device): Promise<FlipMetrics[]> {
  const told: FlipMetrics[] = [];
  using directory = RunDirectory.create(config);
  await train(config, { device, directory, onFlips: (flips) => told.push(flips) });
  const written = readMetrics(`${directory.path}/metrics.jsonl`).filter(isFlips);
  assertEquals(written, told);
  return written;
}

/** Gates of the calibration tokens at a checkpoint, layer by layer. */
async function gatesAt(config: TrainConfig, device: Device, step: number): Promise<number[][]> {
  using opened = await openModel(device, `${config.out}/checkpoints/step-00000${step}`);
  const { validation } = await runCorpus(config.data, await openTokenizer("byte"), () => {});
  const rows = config.data.micro_batch;
  const [batch] = [
    ...new ValidationSet(validation.tokens, { sequence: 16, batch: rows, rows }),
  ];
  const gates: Promise<Float32Array>[] = [];
  using _scope = device.noGradient();
  opened.model.logits(device.tokens(batch!.tokens), 16, {
    onRouting: (layer, routing) => gates[layer] = read(routing.gates),
  });
  return (await Promise.all(gates)).map((values) => [...values]);
}

for (const router of ["relu", "topk"] as const) {
  Deno.test(`${router}: flips are those between the checkpoints around a step`, async () => {
    using folder = new TemporaryFolder();
    using device = await Device.open({ kind: "cpu", threads: 1 });
    const config = configIn(folder, "run", router, 2);
    const flips = await flipsOf(config, device);
    assertEquals(flips.map(({ step }) => step), [2, 4, 6]);
    for (const { step, flip_rate, flip_count, flip_rate_per_layer } of flips) {
      const before = await gatesAt(config, device, step - 1);
      const now = await gatesAt(config, device, step);
      const rates = now.map((gates, layer) =>
        gates.filter((gate, i) => (gate !== 0) !== (before[layer]![i] !== 0)).length / gates.length
      );
      assertEquals(flip_rate_per_layer, rates);
      assertAlmostEquals(flip_rate, (rates[0]! + rates[1]!) / 2, 1e-12);
      assertAlmostEquals(flip_count, 4 * flip_rate, 1e-12);
    }
    assert(flips.some(({ flip_rate }) => flip_rate > 0), "no gate ever flipped");
  });
}

Deno.test("flips do not depend on how often they are measured, and leave training alone", async () => {
  using folder = new TemporaryFolder();
  using device = await Device.open({ kind: "cpu", threads: 1 });
  const every = await flipsOf(configIn(folder, "every", "relu", 1), device);
  assertEquals(every.map(({ step }) => step), [1, 2, 3, 4, 5, 6]);
  const third = await flipsOf(configIn(folder, "third", "relu", 3), device);
  assertEquals(third, every.filter(({ step }) => step % 3 === 0));
  const never = configIn(folder, "never", "relu", 0);
  assertEquals(await flipsOf(never, device), []);
  const weights = (name: string): Uint8Array =>
    Deno.readFileSync(`${folder.path}/${name}/checkpoints/step-000006/model.safetensors`);
  assertEquals(weights("every"), weights("never"));
});

Deno.test("a resumed run measures the flips of the straight one", async () => {
  using folder = new TemporaryFolder();
  using device = await Device.open({ kind: "cpu", threads: 1 });
  const config = configIn(folder, "run", "relu", 1);
  const straight = await flipsOf(config, device);
  const run = { path: config.out!, checkpoint: `${config.out}/checkpoints/step-000003`, config };
  const { directory: opened, checkpoint: from } = RunDirectory.resume(run, config);
  using directory = opened;
  using checkpoint = from;
  await train(config, { device, directory, checkpoint });
  assertEquals(readMetrics(`${config.out}/metrics.jsonl`).filter(isFlips), straight);
});

Deno.test("a dense run has no flips, and says so", async () => {
  using folder = new TemporaryFolder();
  using device = await Device.open({ kind: "cpu", threads: 1 });
  const config = configIn(folder, "run", "dense", 1);
  assertEquals(await flipsOf(config, device), []);
  const notice = "flips.every has no effect with moe.router dense, which does not route";
  assert(configNotices(config).includes(notice));
});
