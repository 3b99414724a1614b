import { assert, assertEquals } from "@std/assert";
import { ByteTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { parseConfig } from "../../lib/config/parse_config.ts";
import { openDevice } from "../tensor/open_device.ts";

/** How far the JavaScript heap may move between two steps: noise from the collector. */
const HEAP_NOISE = 8 * 2 ** 20;

/** The smallest amount that the pool maps at once. */
const SLAB = 2 * 2 ** 20;

Deno.test("training memory does not grow after the first steps", async () => {
  const config = parseConfig({
    preset: "pico",
    steps: 300,
    data: { batch: 4, sequence: 32 },
  });
  const texts = Array.from({ length: 40 }, (_, i) => `Document ${i}. `.repeat(40));
  const tokenizer = new ByteTokenizer();
  const corpus = await prepareCorpus(textsInMemory(texts), tokenizer, { cacheFolder: false });
  using device = await openDevice({ seed: 0, threads: 1 });
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  const measure = () => {
    const { inUse, blocks, held } = device.statistics();
    return { inUse, blocks, held, peak: trainer.peakBytes, heap: Deno.memoryUsage().heapUsed };
  };
  // By then the run has been through all stages: the densest step and the sizes of sparse ones.
  while (trainer.steps < 150) trainer.step();
  trainer.validate();
  await trainer.sample();
  const early = measure();
  while (trainer.steps < 300) {
    trainer.step();
    // Lets finalizers and the collector run, as the training loop does.
    await new Promise((resolve) => setTimeout(resolve));
  }
  trainer.validate();
  await trainer.sample();
  const late = measure();
  assertEquals(late.inUse, early.inUse);
  assertEquals(late.blocks, early.blocks);
  // Held memory falls with the routed rows; as they vary, a new size may appear.
  assert(late.held <= early.held + SLAB, `held: ${early.held} to ${late.held} bytes`);
  assertEquals(late.peak, early.peak);
  assert(late.heap < early.heap + HEAP_NOISE, `heap: ${early.heap} to ${late.heap} bytes`);
});
