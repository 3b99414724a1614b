/** What other families' blocks have besides LLaMA's: keys of `model`, each with its default off. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { ConfigError } from "../../lib/errors.ts";
import { executedFlops, formulaFlops } from "../../lib/model/flops.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import {
  configHash,
  type ConfigLayer,
  parseConfig,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { type Device, type LanguageModel, read, write } from "../../mod.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { openDevice } from "../tensor/open_device.ts";
import { assertCountedAndSaved } from "./counted_and_saved.ts";

type ModelLayer = NonNullable<ConfigLayer["model"]>;

const OPTIONS: Record<string, ModelLayer> = {
  "narrow heads": { head_dim: 4 },
  "wide heads, tied": { head_dim: 12, tied: true },
  "a bias, as in Qwen2": { qkv_bias: true },
  "one norm for all heads, limited, as in OLMoE": { qk_norm: "full", clip_qkv: 0.5 },
  "a norm for each head, as in Qwen3": { qk_norm: "head", head_dim: 10 },
  "all of them": { head_dim: 6, tied: true, qkv_bias: true, qk_norm: "full", clip_qkv: 0.7 },
};

function configOf(model: ModelLayer, dtype: Real = "f32"): TrainConfig {
  const sizes = { layers: 2, hidden: 32, heads: 4, groups: 2, ffn: 24, init_std: 0.3, dtype };
  return parseConfig({
    preset: "pico",
    model: { ...sizes, ...model },
    moe: { router: "topk", experts: 4, active: 2 },
  });
}

/** Moves biases and scales away from 0 and 1. */
async function moveVectors(model: LanguageModel<Real>): Promise<void> {
  for (const parameter of model.parameters()) {
    if (parameter.shape.length !== 1) continue;
    write(parameter, (await read(parameter)).map((value, i) => value + 0.3 * Math.sin(i + 1)));
  }
}

const norm = (values: Float32Array): number => Math.hypot(...values);

async function differ(device: Device, model: LanguageModel<Real>, limit: number): Promise<void> {
  const sequences = [[256, 5, 9, 77, 31], [256], [256, 200, 3]];
  using cache = model.openCache(3, 9);
  using _scope = device.noGradient();
  let logits = model.prefill(sequences, cache);
  for (let step = 0; step < 4; step++) {
    const all = await read(logits);
    for (const [b, sequence] of sequences.entries()) {
      const whole = await read(model.logits(device.tokens(sequence), sequence.length));
      const exact = whole.slice(-model.vocabulary);
      const ours = all.slice(b * model.vocabulary, (b + 1) * model.vocabulary);
      const error = norm(exact.map((value, i) => ours[i]! - value)) / norm(exact);
      assert(error < limit, `step ${step}, sequence ${b}: ${error}`);
    }
    sequences.forEach((sequence, b) => sequence.push((sequence.at(-1)! * 7 + b + step) % 256));
    logits = model.decode(sequences.map((sequence) => sequence.at(-1)!), cache);
  }
}

for (const [name, model] of Object.entries(OPTIONS)) {
  Deno.test(`cached logits are those of whole sequences: ${name}`, async () => {
    for (const [dtype, limit] of [["f32", 1e-5], ["bf16", 0.06]] as const) {
      using device = await openDevice({ seed: 2 });
      using built = buildModel(device, configOf(model, dtype));
      await moveVectors(built.model);
      await differ(device, built.model, limit);
    }
  });

  Deno.test(`parameters are as many as counted, and survive a checkpoint: ${name}`, async () => {
    using device = await openDevice({ seed: 2 });
    const config = configOf(model);
    using built = buildModel(device, config);
    await moveVectors(built.model);
    await assertCountedAndSaved(device, config, built);
  });
}

Deno.test("checkpoints name and shape the options' tensors as Qwen's and OLMoE's do", async () => {
  using device = await openDevice({ seed: 2 });
  const config = configOf(OPTIONS["all of them"]!);
  using built = buildModel(device, config);
  const shapes = [...modelEntries(built.model.parameters(), config)]
    .filter(({ name }) => /layers\.1\.self_attn|lm_head|embed/.test(name))
    .map(({ name, shape }) => `${name.replace("model.layers.1.self_attn.", "")} [${shape}]`);
  assertEquals(shapes, [
    "model.embed_tokens.weight [257,32]",
    "q_proj.weight [24,32]",
    "k_proj.weight [12,32]",
    "v_proj.weight [12,32]",
    "q_proj.bias [24]",
    "k_proj.bias [12]",
    "v_proj.bias [12]",
    "q_norm.weight [24]",
    "k_norm.weight [12]",
    "o_proj.weight [32,24]",
  ]);
});

Deno.test("a norm of each head has one scale per column of a head", async () => {
  using device = await openDevice({ seed: 2 });
  using built = buildModel(device, configOf({ qk_norm: "head", head_dim: 10 }));
  const norms = [...built.model.parameters()].filter(({ name }) => /0.*[qk]_norm/.test(name));
  assertEquals(norms.map(({ shape, decay }) => `${shape} ${decay}`), ["10 false", "10 false"]);
});

Deno.test("FLOPs follow the size of a head", () => {
  const work = { sequences: 1, sequence: 8, rows: [16, 16] };
  const flops = (model: ModelLayer) => {
    const config = configOf(model);
    const formula = formulaFlops(config.model, config.moe, 8);
    return { ...executedFlops(config.model, config.moe, work), formula };
  };
  const [plain, same, wide] = [flops({}), flops({ head_dim: 8 }), flops({ head_dim: 16 })];
  assertEquals(same, plain);
  assertEquals(wide.projections, 2 * plain.projections);
  assertEquals(wide.attention, 2 * plain.attention);
  assertEquals(wide.experts, plain.experts);
  // 12 S L h² (1 + g/a + S/h)
  assertEquals(wide.formula - plain.formula, 12 * 8 * 2 * 32 ** 2 * (1 + 2 / 4 + 8 / 32));
});

Deno.test("options that change nothing leave a checkpoint's hash as it was", () => {
  const plain = configHash(configOf({}));
  const off = { head_dim: null, qkv_bias: false, qk_norm: "none", clip_qkv: null, tied: false };
  assertEquals(configHash(configOf(off as ModelLayer)), plain);
  assertEquals(configHash(configOf({ head_dim: 8 })), plain);
  for (const model of Object.values(OPTIONS)) assert(configHash(configOf(model)) !== plain);
});

Deno.test("keys of a block are checked", () => {
  const cases: [object, string][] = [
    [{ head_dim: 3 }, "model.head_dim is 3, expected an even size"],
    [{ head_dim: 0 }, "model.head_dim is 0, expected a whole number of at least 2, or null"],
    [{ head_dim: "auto" }, 'model.head_dim is "auto", expected a whole number of at least 2, or'],
    [{ head_dim: 2 ** 30 }, "(model.heads + 2 * model.groups) * model.head_dim is"],
    [{ qkv_bias: 1 }, "model.qkv_bias is 1, expected true or false"],
    [{ qk_norm: "heads" }, 'model.qk_norm is "heads", expected one of none, full, head'],
    [{ clip_qkv: 0 }, "model.clip_qkv is 0, expected a number above 0, or null for no limit"],
    [{ tied: "yes" }, 'model.tied is "yes", expected true or false'],
  ];
  for (const [model, message] of cases) {
    assertThrows(() => parseConfig({ model }), ConfigError, message);
  }
  // A size of its own frees heads from dividing the hidden size.
  assertEquals(parseConfig({ model: { hidden: 30, heads: 4, head_dim: 8 } }).model.head_dim, 8);
});
