/** The estimate of a run's memory, held to what the pool counts in a step. */
import { assert } from "@std/assert";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import {
  type ConfigLayer,
  estimateMemory,
  parseConfig,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import type { Device } from "../../mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import { Status } from "../../lib/ffi/mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of some words. `.repeat(30));

/** Many narrow experts: what a layer holds per pair of a token and an expert weighs most. */
const NARROW: ConfigLayer = {
  preset: "pico",
  model: { hidden: 16, heads: 2, groups: 2, ffn: 32, layers: 3 },
  data: { batch: 8, micro_batch: 8 },
};

/** Wide states and small experts: copies of the states weigh most. */
const WIDE: ConfigLayer = {
  preset: "pico",
  model: { hidden: 64, ffn: 8, layers: 4 },
  data: { batch: 8, micro_batch: 8 },
};

async function takeStep(device: Device, config: TrainConfig): Promise<number> {
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  trainer.step();
  return trainer.peakBytes;
}

const E64 = { experts: 64 };

/** Routers whose rows are known before the step. */
const STEPS: Readonly<Record<string, ConfigLayer>> = {
  "topk": { ...NARROW, moe: { router: "topk", ...E64 } },
  "topk with scaled gates": { ...NARROW, moe: { router: "topk", ...E64, gate_scale: 2 } },
  "topk with a shared expert": { ...NARROW, moe: { router: "topk", ...E64, active: 2, shared: 1 } },
  "topk with a wide shared expert that has a gate": {
    ...NARROW,
    moe: { router: "topk", experts: 4, shared_ffn: 300, shared_gate: true },
  },
  "topk with layers without experts": {
    ...NARROW,
    moe: { router: "topk", ...E64, dense_layers: [0, 2], dense_ffn: 300 },
  },
  "sigmoid": { ...NARROW, moe: { router: "sigmoid", ...E64 } },
  "sigmoid with scaled gates": { ...NARROW, moe: { router: "sigmoid", ...E64, gate_scale: 2 } },
  "hash": { ...NARROW, moe: { router: "hash", ...E64 } },
  "expert-choice": { ...NARROW, moe: { router: "expert-choice", ...E64 } },
  "sparsemixer": { ...NARROW, moe: { router: "sparsemixer", ...E64 } },
  // Eight experts per token: the draws are the largest tensor.
  "sparsemixer with granularity": {
    ...NARROW,
    moe: { router: "sparsemixer", ...E64, active: 2, granularity: 4 },
  },
  "dense": { ...NARROW, moe: { router: "dense", experts: 1 } },
  "dense with wide heads, a bias and each head normalised": {
    ...WIDE,
    model: { ...WIDE.model, head_dim: 40, qkv_bias: true, qk_norm: "head" },
    moe: { router: "dense" },
  },
  "dense with queries and keys that are normalised together and clipped": {
    ...WIDE,
    model: { ...WIDE.model, qk_norm: "full", clip_qkv: 1 },
    moe: { router: "dense" },
  },
  "dense with a tied head": {
    ...WIDE,
    model: { ...WIDE.model, vocabulary: 5000, tied: true },
    moe: { router: "dense" },
  },
  "lory": { ...WIDE, moe: { router: "lory", experts: 2 } },
  // Segments of 26, 26, 26 and 23 tokens: the means need a copy of the states.
  "lory with an uneven last segment": {
    ...WIDE,
    moe: { router: "lory", experts: 2 },
    data: { batch: 8, micro_batch: 8, sequence: 101 },
  },
};

Deno.test("the estimate is within 5 % of the peak of a step", async (t) => {
  for (const [name, layer] of Object.entries(STEPS)) {
    await t.step(name, async () => {
      using device = await openDevice({ threads: 2 });
      const config = parseConfig(layer);
      const { total } = estimateMemory(config, { device }).dense;
      const peak = await takeStep(device, config);
      assert(Math.abs(total / peak - 1) < 0.05, `${peak} for an estimate of ${total}`);
    });
  }
});

/**
 * Counts what the library itself holds: the most at any of its allocations, with kernels that state
 * no scratch.
 */
function countAllocations(device: Device): Disposable & { readonly peak: number } {
  const { kernels: k } = memoryOf(device);
  const { symbols } = k;
  const statistics = new BigUint64Array(4);
  let peak = 0;
  k.symbols = {
    ...symbols,
    remoe_memory_allocate: (...values) => {
      const status = symbols.remoe_memory_allocate(...values);
      // Not through the context, whose buffer holds the new address.
      k.check(symbols.remoe_memory_statistics(k.handle, statistics), "memory statistics");
      peak = Math.max(peak, Number(statistics[0]));
      return status;
    },
    remoe_scratch_bytes: (_context, _operation, _dtype, _sizes, bytes) => {
      (bytes as BigUint64Array)[0] = 0n;
      return Status.ok;
    },
  };
  return {
    get peak() {
      return peak;
    },
    [Symbol.dispose]() {
      k.symbols = symbols;
    },
  };
}

for (const dtype of ["f32", "bf16"] as const) {
  Deno.test(`without kernels' scratch, the estimate is within 3 % of what a step holds in ${dtype}`, async (t) => {
    for (const [name, layer] of Object.entries(STEPS)) {
      await t.step(name, async () => {
        using device = await openDevice({ threads: 2 });
        const config = parseConfig({ ...layer, model: { ...layer.model, dtype } });
        using counted = countAllocations(device);
        const { total } = estimateMemory(config, { device }).dense;
        await takeStep(device, config);
        const { peak } = counted;
        assert(Math.abs(total / peak - 1) < 0.03, `${peak} for an estimate of ${total}`);
      });
    }
  });
}
