/** Shared experts apart from the routed ones, and layers without experts, as in Qwen2-MoE. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { ConfigError } from "../../lib/errors.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { executedFlops, formulaFlops } from "../../lib/model/flops.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import {
  configHash,
  type ConfigLayer,
  countParameters,
  parseConfig,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { read, write } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { assertCountedAndSaved } from "./counted_and_saved.ts";

type MoELayer = NonNullable<ConfigLayer["moe"]>;

const QWEN: MoELayer = { shared_ffn: 20, shared_gate: true, dense_layers: [0, 2], dense_ffn: 28 };

function configOf(moe: MoELayer, dtype: Real = "f32"): TrainConfig {
  return parseConfig({
    preset: "pico",
    model: { layers: 4, hidden: 16, heads: 2, groups: 2, ffn: 24, init_std: 0.3, dtype },
    moe: { router: "topk", experts: 4, active: 2, ...moe },
    data: { batch: 4, micro_batch: 2, sequence: 16 },
  });
}

/** What a layer of each kind has, by name and shape in a checkpoint. */
async function tensorsOf(moe: MoELayer, layer: number): Promise<string[]> {
  using device = await openDevice({ seed: 2 });
  const config = configOf(moe);
  using built = buildModel(device, config);
  const prefix = `model.layers.${layer}.`;
  return [...modelEntries(built.model.parameters(), config)]
    .filter(({ name }) => name.startsWith(prefix) && /mlp|gate\.|shared/.test(name))
    .map(({ name, shape }) => `${name.slice(prefix.length)} [${shape}]`);
}

Deno.test("layers without experts, and shared experts, are named and shaped as in Qwen2-MoE", async () => {
  assertEquals(await tensorsOf(QWEN, 2), [
    "mlp.gate_proj.weight [28,16]",
    "mlp.up_proj.weight [28,16]",
    "mlp.down_proj.weight [16,28]",
  ]);
  assertEquals(await tensorsOf(QWEN, 3), [
    "block_sparse_moe.gate.weight [4,16]",
    "block_sparse_moe.shared_expert.gate_proj.weight [20,16]",
    "block_sparse_moe.shared_expert.up_proj.weight [20,16]",
    "block_sparse_moe.shared_expert.down_proj.weight [16,20]",
    "block_sparse_moe.shared_expert_gate.weight [1,16]",
  ]);
  // By default a layer without experts is as wide as an expert.
  assertEquals((await tensorsOf({ dense_layers: [1] }, 1))[0], "mlp.gate_proj.weight [24,16]");
});

Deno.test("parameters are as many as counted, and survive a checkpoint", async () => {
  for (
    const moe of [
      ...[QWEN, { dense_layers: [3] }, { shared: 1, shared_gate: true }, { shared_ffn: 5 }],
      ...[{ ...QWEN, router: "relu" }, { ...QWEN, router: "lory", active: 1 }] as MoELayer[],
    ]
  ) {
    using device = await openDevice({ seed: 2 });
    const config = configOf(moe);
    using built = buildModel(device, config);
    await assertCountedAndSaved(device, config, built);
  }
});

Deno.test("a token's active parameters count what it uses apart from the chosen experts", () => {
  const count = (moe: MoELayer) => countParameters(configOf(moe).model, configOf(moe).moe);
  const [plain, qwen] = [count({}), count(QWEN)];
  const [expert, gate] = [3 * 16 * 24, 16];
  // Two layers of four lose two chosen experts and their router; all gain.
  const change = 2 * (3 * 16 * 20 + gate) + 2 * 3 * 16 * 28 - 2 * (2 * expert + 4 * 16);
  assertEquals(qwen.active - plain.active, change);
});

Deno.test("FLOPs count a shared expert and layers without experts by their widths", () => {
  const { model, moe } = configOf(QWEN);
  const work = { sequences: 2, sequence: 8, rows: [32, 32] };
  const { experts, routers } = executedFlops(model, moe, work);
  const tokens = 16;
  assertEquals(experts, 18 * 16 * (64 * 24 + tokens * (2 * 20 + 2 * 28)));
  assertEquals(routers, 6 * 16 * tokens * 2 * (4 + 1));
  assertThrows(
    () => executedFlops(model, moe, { ...work, rows: [1, 1, 1, 1] }),
    RangeError,
    "2 layers",
  );
  const plain = configOf({});
  const difference = formulaFlops(model, moe, 8) - formulaFlops(plain.model, plain.moe, 8);
  assertEquals(difference, 18 * 8 * 16 * (2 * 20 + 2 * 28 - 2 * 2 * 24));
});

Deno.test("cached logits are those of whole sequences", async () => {
  for (const [dtype, limit] of [["f32", 1e-5], ["bf16", 0.06]] as const) {
    using device = await openDevice({ seed: 2 });
    using built = buildModel(device, configOf(QWEN, dtype));
    const { model } = built;
    using cache = model.openCache(1, 8);
    using _scope = device.noGradient();
    const tokens = [256, 5, 9];
    let logits = model.prefill([tokens], cache);
    for (let step = 0; step < 4; step++) {
      const exact = (await read(model.logits(device.tokens(tokens), tokens.length)))
        .slice(-model.vocabulary);
      const ours = await read(logits);
      const error = Math.hypot(...exact.map((value, i) => ours[i]! - value));
      assert(error < limit * Math.hypot(...exact), `${dtype}, step ${step}: ${error}`);
      tokens.push(7 * step + 3);
      logits = model.decode(tokens.slice(-1), cache);
    }
  }
});

Deno.test("a gate scales the shared expert's output by its sigmoid", async () => {
  using device = await openDevice({ seed: 2 });
  using gated = buildModel(device, configOf({ shared_ffn: 20, shared_gate: true }));
  using plain = buildModel(device, configOf({ shared_ffn: 20 }));
  const sources = new Map([...plain.model.parameters()].map((each) => [each.name, each]));
  for (const parameter of gated.model.parameters()) {
    const { name } = parameter;
    // sigmoid(0) is 1/2, which twice the down projection makes up for.
    const factor = name.endsWith("shared_expert.down_proj.weight") ? 2 : 1;
    const source = sources.get(name);
    const values = source === undefined
      ? new Float32Array(parameter.size)
      : (await read(source)).map((value) => factor * value);
    write(parameter, values);
  }
  using _scope = device.noGradient();
  const tokens = device.tokens([256, 1, 2, 3]);
  const [ours, theirs] = [gated, plain].map(({ model }) => read(model.logits(tokens, 4)));
  const expected = await theirs!;
  assert((await ours!).every((value, i) => Math.abs(value - expected[i]!) < 1e-4));
});

Deno.test("a step's figures list the layers with experts, for routers that follow them", async () => {
  const texts = Array.from({ length: 40 }, (_, i) => `Document ${i} of some words. `.repeat(9));
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(texts), tokenizer, { cacheFolder: false });
  for (const router of ["relu", "topk", "sigmoid"] as const) {
    using device = await openDevice({ seed: 2 });
    const config = { ...configOf({ ...QWEN, router }), flips: { every: 1 } };
    using trainer = new Trainer(config, { device, corpus, tokenizer });
    trainer.beginFlips();
    const step = trainer.step();
    assertEquals(step.sparsity_per_layer.length, 2);
    assertEquals(step.expert_load.map(({ length }) => length), [4, 4]);
    const mean = step.sparsity_per_layer.reduce((sum, each) => sum + each, 0) / 2;
    assert(Math.abs(step.sparsity - mean) < 1e-9, router);
    assertEquals(trainer.endFlips().flip_rate_per_layer.length, 2);
    const seen: number[] = [];
    using built = buildModel(device, config);
    using _scope = device.noGradient();
    built.model.logits(device.tokens([1, 2]), 2, { onRouting: (layer) => seen.push(layer) });
    assertEquals(seen, [0, 1]);
  }
});

Deno.test("options that change nothing leave a checkpoint's hash as it was", () => {
  const off = { shared_ffn: null, shared_gate: false, dense_layers: [], dense_ffn: null };
  assertEquals(configHash(configOf(off)), configHash(configOf({})));
  for (const moe of [{ shared_ffn: 5 }, { dense_layers: [1] }, { shared: 1, shared_gate: true }]) {
    assert(configHash(configOf(moe)) !== configHash(configOf({ shared: moe.shared ?? 0 })));
  }
});

Deno.test("a configuration's lists are its own", () => {
  const { moe, data } = parseConfig({});
  (moe.dense_layers as number[]).push(0);
  (data.paths as string[]).push("text");
  assertEquals(parseConfig({}).moe.dense_layers, []);
  assertEquals(parseConfig({}).data.paths, []);
});

Deno.test("keys of shared experts and of layers without experts are checked", () => {
  const cases: [MoELayer | object, string][] = [
    [{ shared_ffn: 0 }, "moe.shared_ffn is 0, expected a whole number of at least 1, or null"],
    [{ shared_ffn: 8, shared: 1 }, "moe.shared is 1, expected 0 beside moe.shared_ffn (8)"],
    [{ shared_gate: 1 }, "moe.shared_gate is 1, expected true or false"],
    [{ shared_gate: true }, "moe.shared_gate is true, expected false without a shared expert"],
    [{ dense_layers: 1 }, "moe.dense_layers is 1, expected a list of layers from 0"],
    [{ dense_layers: [1, 0] }, "moe.dense_layers is [1,0], expected a list of layers from 0"],
    [{ dense_layers: [1, 1] }, "moe.dense_layers is [1,1], expected a list of layers from 0"],
    [{ dense_layers: [-1] }, "moe.dense_layers is [-1], expected a list of layers from 0"],
    [{ dense_layers: [4] }, "moe.dense_layers holds 4, expected layers below 4"],
    [{ dense_layers: [0, 1, 2, 3] }, "moe.dense_layers holds every layer"],
    [{ dense_ffn: 8 }, "moe.dense_ffn is 8, expected null without moe.dense_layers"],
  ];
  for (const [moe, message] of cases) {
    assertThrows(() => configOf(moe as MoELayer), ConfigError, message);
  }
  for (const [key, value] of Object.entries({ ...QWEN, dense_layers: [0] })) {
    assertThrows(
      () => parseConfig({ moe: { router: "dense", [key]: value } }),
      ConfigError,
      `moe.${key} is ${JSON.stringify(value)}, expected`,
    );
  }
});
