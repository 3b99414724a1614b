import { assert, assertEquals, assertThrows } from "@std/assert";
import { memoryOf } from "../../lib/autograd/device.ts";
import { keptLogits } from "../../lib/autograd/cross_entropy.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { type KernelSymbols, Status, type SymbolName } from "../../lib/ffi/mod.ts";
import { routedSizes } from "../../lib/moe/layer_sizes.ts";
import { routerOf } from "../../lib/moe/router_of.ts";
import {
  checkMemory,
  type ConfigLayer,
  estimateMemory,
  parseConfig,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import type { Device } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of some words. `.repeat(30));

/** One expert for every token: the rows of a step are known. */
function dense(model: ConfigLayer["model"]): TrainConfig {
  return parseConfig({ preset: "pico", moe: { router: "dense", experts: 1 }, model });
}

/** The most that a kernel has taken from the pool while it ran, in one step of training. */
async function takenInStep(device: Device, config: TrainConfig, name: SymbolName): Promise<number> {
  const { kernels: k } = memoryOf(device);
  const original = k.symbols[name] as (...values: unknown[]) => number;
  let most = 0;
  const watched = (...values: unknown[]): number => {
    device.resetPeak();
    const { inUse } = device.statistics();
    const status = original(...values);
    most = Math.max(most, device.statistics().peak - inUse);
    return status;
  };
  k.symbols = { ...k.symbols, [name]: watched } as KernelSymbols;
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  trainer.step();
  k.symbols = { ...k.symbols, [name]: original } as KernelSymbols;
  return most;
}

Deno.test("the estimate's scratch is what the pool counts in the experts' backward pass", async () => {
  for (const threads of [1, 2]) {
    using device = await openDevice({ threads });
    const config = dense({ ffn: 1024 });
    const { scratch } = estimateMemory(config, { device }).dense;
    const gradients = 4 * 4 * config.data.micro_batch * config.data.sequence * config.model.hidden;
    const taken = await takenInStep(device, config, "remoe_experts_gradient");
    assertEquals(scratch, taken + gradients);
  }
});

Deno.test("the estimate's scratch is what the pool counts in the output head's backward pass", async () => {
  using device = await openDevice();
  const config = dense({ vocabulary: 4096 });
  const { scratch } = estimateMemory(config, { device }).dense;
  const tokens = config.data.micro_batch * config.data.sequence;
  const { logitBytes } = memoryOf(device);
  const around = 4 *
    (keptLogits(tokens, 4096, "f32", logitBytes) + 2 * tokens * config.model.hidden);
  const taken = await takenInStep(device, config, "remoe_cross_entropy_gradient");
  assertEquals(scratch, taken + around);
});

Deno.test("a transport's scratch is what its router's row names, up to the sums by tiles", async () => {
  using device = await openDevice();
  const config = parseConfig({ preset: "pico", moe: { experts: 64, balance: "transport" } });
  const { moe, data } = config;
  const pairs = data.micro_batch * data.sequence * routedSizes(moe).experts;
  const named = 4 * pairs * routerOf(moe).footprint(moe).scratch;
  const taken = await takenInStep(device, config, "remoe_transport_weights");
  assert(named <= taken && taken < 1.05 * named, `${taken} for ${named}`);
});

Deno.test("without a device, or where its library does not say, less scratch is counted", async () => {
  using device = await openDevice();
  const config = parseConfig({ preset: "pico" });
  const withDevice = estimateMemory(config, { device });
  const without = estimateMemory(config);
  assert(without.dense.scratch < withDevice.dense.scratch);
  assert(without.dense.scratch >= 4 * without.dense.rows * config.model.hidden);
  const { kernels: k } = memoryOf(device);
  k.symbols = { ...k.symbols, remoe_scratch_bytes: () => Status.unsupported };
  assertEquals(estimateMemory(config, { device }), without);
});

Deno.test("sizes that no kernel takes are estimated all the same", async () => {
  using device = await openDevice();
  // 2^30 tokens, of which 8 experts make 2^33 rows.
  const data = { batch: 2 ** 20, micro_batch: 2 ** 20, sequence: 2 ** 10 };
  const config = parseConfig({ preset: "pico", data });
  assertEquals(estimateMemory(config, { device }).dense, estimateMemory(config).dense);
});

Deno.test("`checkMemory()` counts the scratch of the device's kernels", async () => {
  using device = await openDevice();
  const config = parseConfig({ preset: "pico", memory: { recompute: "always" } });
  const { total } = estimateMemory(config).dense;
  checkMemory(config, total);
  assertThrows(() => checkMemory(config, total, { device }), TypeError, "Cannot train within");
  checkMemory(config, estimateMemory(config, { device }).dense.total, { device });
});
