/** Steps that route more rows than there is room for. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  ConfigError,
  DenseRouter,
  type Device,
  MoE,
  type PlanCapacity,
  read,
  StepState,
} from "../../mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import type { KernelSymbols } from "../../lib/ffi/mod.ts";
import { type ConfigLayer, parseConfig } from "../../lib/train/mod.ts";
import { PlanRoom, type RoomRule, roomRule } from "../../lib/train/plan_room.ts";
import { holdsTooMuch } from "../../lib/train/pool_use.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of some words. `.repeat(30));
const STEPS = 4;

/** Counts the calls of AdamW's kernel: one per try of a step. */
function countTries(device: Device): () => number {
  const { kernels: k } = memoryOf(device);
  const { remoe_adamw } = k.symbols;
  let tries = 0;
  k.symbols = {
    ...k.symbols,
    remoe_adamw: (...values: Parameters<KernelSymbols["remoe_adamw"]>) => {
      tries++;
      return remoe_adamw(...values);
    },
  };
  return () => tries;
}

/** What some steps come to, with room for so many rows. */
async function trained(layer: ConfigLayer, rows: RoomRule) {
  const config = parseConfig({ preset: "pico", data: { batch: 8 }, ...layer });
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  using device = await openDevice({ seed: 3 });
  using trainer = new Trainer(config, { device, corpus, tokenizer, rows });
  const tries = countTries(device);
  const lines = Array.from({ length: STEPS }, () => trainer.step());
  const figures = lines.map((line) => ({
    ...line,
    ...{ ms: 0, tokens_per_second: 0, gflops: 0, gflops_executed: 0, memory_bytes: 0 },
  }));
  const weights = await Promise.all([...trainer.savedTensors()].map((weight) => read(weight)));
  const { steps } = trainer.optimizer;
  return { tries: tries(), figures, weights, steps, excess: trainer.lambdaExcess };
}

const LAYERS: Readonly<Record<string, ConfigLayer>> = {
  "relu": { moe: { lambda_rule: "proportional" } },
  "relu in bf16": { model: { dtype: "bf16" } },
  "relu by micro-batches": { data: { batch: 8, micro_batch: 4 } },
  "sparsemixer, which draws": { moe: { router: "sparsemixer" } },
};

Deno.test("steps that overflow come to what they would have with room, bit for bit", async (t) => {
  for (const [name, layer] of Object.entries(LAYERS)) {
    await t.step(name, async () => {
      const free = await trained(layer, Infinity);
      const tight = await trained(layer, 100);
      assertEquals([free.tries, tight.tries], [STEPS, 2 * STEPS]);
      assertEquals({ ...tight, tries: 0 }, { ...free, tries: 0 });
    });
  }
});

Deno.test("room that follows the last step's rows changes nothing, bit for bit", async (t) => {
  for (const [name, layer] of Object.entries({ ...LAYERS, topk: { moe: { router: "topk" } } })) {
    await t.step(name, async () => {
      const free = await trained(layer as ConfigLayer, Infinity);
      const following = await trained(layer as ConfigLayer, "follow");
      assertEquals(following.tries, STEPS);
      assertEquals(following, free);
    });
  }
});

Deno.test("room follows the fullest layer with a margin, which grows where it was too small", () => {
  const config = parseConfig({ preset: "pico" });
  const pairs = config.data.micro_batch * config.data.sequence * config.moe.experts;
  const room = new PlanRoom(config, "follow");
  assertEquals(room.rows, pairs);
  const topk = parseConfig({ preset: "pico", moe: { router: "topk" } });
  assertEquals(new PlanRoom(topk, "follow").rows, pairs / config.moe.experts);
  room.follow([pairs / 8, pairs / 4]);
  assertEquals(room.rows, pairs / 4 * 1.25);
  assertEquals(room.whole(() => room.rows), Infinity);
  room.widen();
  room.follow([pairs / 8, pairs / 4]);
  assertEquals(room.rows, pairs / 4 * 1.25 * 1.25);
  room.follow([pairs, 0]);
  assertEquals(room.rows, pairs);
  const fixed = new PlanRoom(config, 100);
  fixed.follow([pairs]);
  assertEquals(fixed.rows, 100);
  assertEquals([roomRule("cpu"), roomRule("cuda"), roomRule("emulated")], [
    Infinity,
    "follow",
    "follow",
  ]);
});

Deno.test("a pool is trimmed where it holds far more than a step uses, unless it is small", () => {
  const GIB = 2 ** 30;
  assertEquals(holdsTooMuch({ held: 39 * GIB, peak: 20 * GIB }), true);
  assertEquals(holdsTooMuch({ held: 25 * GIB, peak: 20 * GIB }), false);
  assertEquals(holdsTooMuch({ held: 2 ** 26, peak: 2 ** 22 }), false);
});

Deno.test("a step that fits is taken once", async () => {
  const layer: ConfigLayer = { moe: { router: "topk" } };
  const { data, moe } = parseConfig({ preset: "pico", data: { batch: 8 }, ...layer });
  const rows = data.micro_batch * data.sequence * moe.active;
  assertEquals((await trained(layer, rows)).tries, STEPS);
  assertEquals((await trained(layer, rows - 1)).tries, 2 * STEPS);
});

Deno.test("a capacity needs a state that notes an overflow, and whole rows", async () => {
  using device = await openDevice();
  using state = new StepState(device, { experts: 4 });
  using router = new DenseRouter(device, { hidden: 8, experts: 4 });
  const build = (capacity: PlanCapacity, more: { state?: StepState } = { state }) =>
    new MoE(device, { router, hidden: 8, width: 4, capacity, ...more });
  assertThrows(() => build({ rows: 8 }, {}), ConfigError, "needs a state");
  assertThrows(() => build({ rows: 0 }), RangeError, "capacity.rows");
  assertThrows(() => build("half" as PlanCapacity), ConfigError, "expected full");
  using layer = build({ rows: 7 });
  // Without a tape nothing is to be taken again, and there is room for all.
  using _scope = device.scope();
  const { output } = layer.forward(device.normal([2, 8]));
  assert((await read(output)).some((value) => value !== 0));
});
