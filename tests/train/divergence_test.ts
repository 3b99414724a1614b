import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Device, Parameter, Tensor } from "../../mod.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { areFinite } from "../../lib/autograd/finite.ts";
import { type ConfigLayer, DivergenceError, parseConfig } from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { download, upload } from "../../lib/tensor/transfer.ts";
import { openDevice } from "../tensor/open_device.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of ${i * i} words. `.repeat(9));

const tokenizer = await openTokenizer("byte");
const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });

function openTrainer(device: Device, layer: ConfigLayer = {}): Trainer {
  const data = { batch: 4, sequence: 16, ...layer.data };
  const config = parseConfig({ preset: "pico", ...layer, data });
  return new Trainer(config, { device, corpus, tokenizer });
}

function parameter(trainer: Trainer, name: string): Parameter {
  const found = [...trainer.parameters()].find((each) => each.name === name);
  assert(found !== undefined, name);
  return found;
}

/** Overwrites one element. */
function poison(tensor: Tensor<"f32">, value: number, index = 0): void {
  const values = Float32Array.from(download(unwrapped(tensor)));
  values[index] = value;
  upload(unwrapped(tensor), values);
}

const WEIGHTS = [
  "model.embed_tokens.weight",
  "model.layers.0.input_layernorm.weight",
  "model.layers.0.self_attn.qkv_proj.weight",
  "model.layers.1.self_attn.o_proj.weight",
  "model.layers.1.block_sparse_moe.gate.weight",
  "model.layers.1.block_sparse_moe.experts.w1",
  "model.layers.0.block_sparse_moe.experts.w2",
  "model.norm.weight",
  "lm_head.weight",
];

Deno.test("a step names the non-finite weight, wherever it is", async (t) => {
  using device = await openDevice({ seed: 1 });
  const routed = WEIGHTS.filter((name) => name.includes("moe"));
  for (const [router, names] of [["relu", WEIGHTS], ["topk", routed]] as const) {
    for (const [i, name] of names.entries()) {
      const value = [NaN, Infinity, -Infinity][i % 3]!;
      await t.step(`${router}: ${name} = ${value}`, () => {
        using trainer = openTrainer(device, { moe: { router } });
        trainer.step();
        // Row 32 of the embedding is the space character, which every row of this text contains.
        poison(parameter(trainer, name), value, name.includes("embed") ? 32 * 64 : 0);
        const error = assertThrows(() => trainer.step(), DivergenceError);
        assertEquals(error.step, 2);
        assertEquals(error.tensor, `the weight ${name}`);
        assertMatch(error.message, /^Cannot take step 2, its (loss|gradient) is not finite: the/);
        assert(error.message.includes(name), error.message);
      });
    }
  }
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("a step names the operation that overflows when all weights are finite", async (t) => {
  const cases: [name: string, scale: number, tensor: RegExp][] = [
    ["model.layers.0.input_layernorm.weight", 1e38, /self_attn/],
    ["model.layers.1.post_attention_layernorm.weight", 1e38, /layers\.1\.(block_sparse_moe|post)/],
    ["model.layers.0.block_sparse_moe.gate.weight", 3e38, /layers\.0\.block_sparse_moe/],
    ["model.norm.weight", 3e38, /model\.norm|lm_head/],
  ];
  using device = await openDevice({ seed: 1 });
  for (const [name, scale, tensor] of cases) {
    await t.step(name, () => {
      using trainer = openTrainer(device);
      const target = parameter(trainer, name);
      upload(unwrapped(target), new Float32Array(target.size).fill(scale));
      const error = assertThrows(() => trainer.step(), DivergenceError);
      assertMatch(error.tensor, /^the (output of|gradient) /);
      assertMatch(error.tensor, tensor);
      assertMatch(error.message, /after \d+ finite ones$/);
    });
  }
});

Deno.test("a failed step is reproduced under gradient accumulation", async () => {
  using device = await openDevice({ seed: 1 });
  using trainer = openTrainer(device, { data: { micro_batch: 1 } });
  poison(parameter(trainer, "lm_head.weight"), NaN);
  const { tensor } = assertThrows(() => trainer.step(), DivergenceError);
  assertEquals(tensor, "the weight lm_head.weight");
});

Deno.test("non-finite weights and moments are not saved", async () => {
  using device = await openDevice({ seed: 1 });
  using trainer = openTrainer(device);
  trainer.step();
  trainer.checkWeights();
  const { parameter: first, second } = trainer.optimizer.moments()[0]!;
  poison(second, Infinity, second.size - 1);
  const error = assertThrows(() => trainer.checkWeights(), DivergenceError);
  assertEquals(error.tensor, `the second moment of ${first.name}`);
  poison(parameter(trainer, "model.norm.weight"), NaN, 63);
  // The moment comes first.
  assertEquals(
    assertThrows(() => trainer.checkWeights(), DivergenceError).tensor,
    error.tensor,
  );
  poison(second, 0, second.size - 1);
  assertEquals(
    assertThrows(() => trainer.checkWeights(), DivergenceError).message,
    "Cannot go on after step 1: the weight model.norm.weight is not finite",
  );
});

Deno.test("`areFinite()` checks every element of every tensor, and accepts the largest finite number", async () => {
  using device = await openDevice();
  using _scope = device.scope();
  const tensors = [1, 7, 1000].map((size) => unwrapped(device.full([size], 3.4e38)));
  assert(areFinite([]));
  assert(areFinite(tensors));
  for (const tensor of tensors) {
    for (const value of [NaN, Infinity, -Infinity]) {
      for (const index of [0, tensor.size - 1]) {
        const values = new Float32Array(tensor.size).fill(1);
        values[index] = value;
        upload(tensor, values);
        assert(!areFinite(tensors));
        upload(tensor, new Float32Array(tensor.size));
      }
    }
  }
  assert(areFinite(tensors));
});
