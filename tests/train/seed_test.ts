/**
 * A configuration's seed determines its run, whatever else the device draws before or meanwhile.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Device } from "../../mod.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { findRun, parseConfig, readMetrics, RunDirectory, train } from "../../lib/train/mod.ts";
import { ConfigError } from "../../lib/errors.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { download } from "../../lib/tensor/transfer.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of ${i * i} words. `.repeat(9));

const tokenizer = await openTokenizer("byte");
const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });

function weightsOf(device: Device, seed: number): number[] {
  const config = parseConfig({ preset: "pico", seed, data: { batch: 4, sequence: 16 } });
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  return [...trainer.parameters()].flatMap((each) => [...download(unwrapped(each)).slice(0, 4)]);
}

function draw(device: Device): number[] {
  using tensor = device.normal([4]);
  return [...download(unwrapped(tensor))];
}

Deno.test("a model's weights depend only on its configuration's seed", async () => {
  using fresh = await openDevice({ seed: 7 });
  const expected = weightsOf(fresh, 7);
  using other = await openDevice({ seed: 1 });
  draw(other);
  assertEquals(weightsOf(other, 7), expected);
  assertEquals(weightsOf(other, 7), expected, "the second time");
  assert(weightsOf(other, 8).join() !== expected.join());
});

Deno.test("building a model does not affect the device's random stream", async () => {
  using plain = await openDevice({ seed: 3 });
  const expected = [draw(plain), draw(plain)];
  using device = await openDevice({ seed: 3 });
  const first = draw(device);
  weightsOf(device, 5);
  assertEquals([first, draw(device)], expected);
});

Deno.test("two concurrent runs on one device equal two sequential runs", async () => {
  using folder = new TemporaryFolder();
  Deno.mkdirSync(`${folder.path}/text`);
  TEXT.forEach((text, i) => Deno.writeTextFileSync(`${folder.path}/text/${i}.txt`, text));
  const run = async (device: Device, name: string, seed: number): Promise<unknown> => {
    const config = parseConfig({
      preset: "pico",
      steps: 2,
      seed,
      model: { hidden: 16, heads: 2 },
      data: {
        paths: [`${folder.path}/text`],
        batch: 2,
        sequence: 16,
        cache: `${folder.path}/cache`,
      },
      sample: { every: 1, tokens: 5 },
      flips: { every: 1 },
      out: `${folder.path}/${name}`,
    });
    using directory = RunDirectory.create(config);
    await train(config, { device, directory });
    return readMetrics(`${directory.path}/metrics.jsonl`)
      .map((line) => "loss" in line ? [line.loss, line.grad_norm] : Object.values(line));
  };
  using alone = await openDevice();
  const expected = [await run(alone, "a", 1), await run(alone, "b", 2)];
  using shared = await openDevice();
  assertEquals(await Promise.all([run(shared, "c", 1), run(shared, "d", 2)]), expected);
  assertEquals(await run(shared, "e", 2), expected[1]);
});

Deno.test("a run refuses a configuration other than its directory's, and ignores later changes", async () => {
  using folder = new TemporaryFolder();
  Deno.mkdirSync(`${folder.path}/text`);
  TEXT.forEach((text, i) => Deno.writeTextFileSync(`${folder.path}/text/${i}.txt`, text));
  const config = parseConfig({
    preset: "pico",
    steps: 2,
    data: { paths: [`${folder.path}/text`], batch: 2, sequence: 16, cache: `${folder.path}/cache` },
    sample: { tokens: 5 },
    out: `${folder.path}/run`,
  });
  using device = await openDevice();
  const changing = structuredClone(config) as { seed: number } & typeof config;
  using directory = RunDirectory.create(changing);
  const other = { ...config, seed: 4, moe: { ...config.moe, alpha: 2 } };
  await assertRejects(
    () => train(other, { device, directory }),
    ConfigError,
    "seed was 0 and is 4, moe.alpha was 1.2 and is 2",
  );
  const running = train(changing, { device, directory });
  changing.seed = 9;
  await running;
  // The type that `auto` chose is settled: a model this small computes in f32.
  const settled = { ...config, model: { ...config.model, dtype: "f32" } };
  assertEquals<unknown>(findRun(directory.path).config, settled);
});
