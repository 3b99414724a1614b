/**
 * Named configurations: small ones for a laptop, and the paper's three models.
 *
 * @module
 */

import { withKeyDefaults } from "../moe/router_keys.ts";
import { ROUTER_KEYS, type RouterSettings } from "../moe/routers.ts";
import type { ConfigLayer, PresetName, TrainConfig } from "./config.ts";

/** A configuration without its derived keys. */
export interface PresetValues {
  /** Everything but `preset` and the sections with derived keys. */
  readonly run: Omit<TrainConfig, "preset" | "model" | "moe" | "data">;
  /** `ffn`, `vocabulary` and `init_std` are derived from the other sizes and the tokenizer. */
  readonly model: Omit<TrainConfig["model"], "ffn" | "vocabulary" | "init_std">;
  /** The defaults of the routers' own settings come from the table of routers. */
  readonly moe: Omit<TrainConfig["moe"], "router_file" | "router_std">;
  /** `micro_batch` is derived from `batch` and `sequence`. */
  readonly data: Omit<TrainConfig["data"], "micro_batch" | "tokenizer_file">;
}

/**
 * `nano`, the default preset; the others state only how they differ from it.
 *
 * With a learning rate of 3e-3, or an initial deviation of 0.01 at this width, the language-model
 * gradient alone closes gates until experts die. Change either with care.
 */
export const BASE: PresetValues = {
  run: {
    steps: 500,
    seed: 0,
    device: "auto",
    threads: 0,
    out: null,
    init: { from: null, noise: 0, rescale: true },
    optimizer: { lr: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, clip: 1 },
    schedule: { kind: "cosine", warmup: 30, final_ratio: 0.1 },
    memory: { limit_gib: null, recompute: "auto" },
    checkpoint: { every: 100, keep: 2 },
    validation: { every: 50, batches: 4 },
    flips: { every: 0 },
    sample: { every: 250, tokens: 200, temperature: 0.8, prompt: "" },
    log: { tensorboard: false },
  },
  model: {
    layers: 4,
    hidden: 128,
    heads: 4,
    groups: 2,
    head_dim: null,
    qkv_bias: false,
    qk_norm: "none",
    clip_qkv: null,
    tied: false,
    rope_base: 1e6,
    norm_epsilon: 1e-5,
    dtype: "auto",
  },
  moe: {
    router: "relu",
    experts: 8,
    active: 1,
    granularity: 1,
    shared: 0,
    shared_ffn: null,
    shared_gate: false,
    dense_layers: [],
    dense_ffn: null,
    ...withKeyDefaults(ROUTER_KEYS, {}) as unknown as RouterSettings,
  },
  data: {
    paths: [],
    validation_paths: [],
    weights: {},
    tokenizer: "byte",
    batch: 16,
    sequence: 256,
    validation_fraction: 0.05,
    cache: null,
  },
};

const PRESETS: Record<PresetName, ConfigLayer> = {
  // 300 steps are few: seeds 0 and 1 end at a validation loss of 2.09 and 2.04 nats per token with
  // lr 1e-3, 1.72 and 1.74 with 3e-3. With 5e-3 the loss alone closes gates: λ falls below 1e-4.
  pico: {
    steps: 300,
    model: { layers: 2, hidden: 64 },
    data: { sequence: 128 },
    optimizer: { lr: 3e-3 },
    schedule: { warmup: 20 },
    sample: { tokens: 100 },
  },
  // Wider than the deviation that follows from `hidden`, 0.0245: 500 steps end at 1.24 and 1.29
  // nats per token instead of 1.33, and sparsity is held as well.
  nano: { model: { init_std: 0.06 } },
  // With 50,304 tokens the output head dominates the work: a wider model would take more than an
  // hour. The vocabulary is GPT-2's, padded to a multiple of 64.
  tiny: {
    steps: 1500,
    model: { layers: 8, vocabulary: 50_304 },
    data: { tokenizer: "gpt2" },
    schedule: { warmup: 50 },
    validation: { every: 100 },
    sample: { every: 250, tokens: 100 },
  },
  "182m": paper({ layers: 12, hidden: 768, heads: 12, groups: 4 }, 5000),
  "469m": paper({ layers: 24, hidden: 1024, heads: 16, groups: 4 }, 5000),
  "978m": paper({ layers: 24, hidden: 1536, heads: 16, groups: 4 }, 2500),
};

/** The names of all presets, smallest first. */
export const PRESET_NAMES: readonly PresetName[] = Object.keys(PRESETS) as PresetName[];

/**
 * Returns a preset as a layer of configuration: its differences from {@linkcode BASE}.
 *
 * @param name The preset's name.
 * @returns The layer.
 */
export function presetLayer(name: PresetName): ConfigLayer {
  return PRESETS[name];
}

/** The recipe shared by the paper's three models: 60,000 steps of 512 x 1024 tokens. */
function paper(
  sizes: { layers: number; hidden: number; heads: number; groups: number },
  checkpointEvery: number,
): ConfigLayer {
  return {
    steps: 60_000,
    // 0.01 at any width, as in the paper; GPT-2's 50,257 tokens padded to a multiple of 1,024.
    model: { ...sizes, init_std: 0.01, vocabulary: 51_200 },
    data: { tokenizer: "gpt2", batch: 512, sequence: 1024, validation_fraction: 0.03 },
    optimizer: { lr: 5e-4 },
    schedule: { warmup: 600 },
    checkpoint: { every: checkpointEvery, keep: 2 },
    validation: { every: 1000, batches: 100 },
    sample: { every: 1000, tokens: 200 },
  };
}
