/** Runs with random weights at step 0, one per form of export. */
import { configHash } from "../../lib/checkpoint/resume.ts";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { savedTensors } from "../../lib/model/saved_tensors.ts";
import { initialStage, parseConfig, RunDirectory } from "../../lib/train/mod.ts";
import type { Device } from "../../mod.ts";

/** What distinguishes each run. */
export const RUNS: Readonly<Record<string, { readonly model?: object; readonly moe: object }>> = {
  dense: { moe: { router: "dense" } },
  "topk-renormalized": { moe: { router: "topk", experts: 4, active: 2, renormalize: true } },
  topk: { moe: { router: "topk", experts: 4, active: 1, granularity: 2 } },
  "topk-shared": { moe: { router: "topk", experts: 4, active: 2, granularity: 2, shared: 1 } },
  olmoe: {
    model: { qk_norm: "full", clip_qkv: 0.5 },
    moe: { router: "topk", experts: 4, active: 2 },
  },
  "qwen3-moe": {
    model: { qk_norm: "head", head_dim: 6, tied: true },
    moe: { router: "topk", experts: 4, active: 2, renormalize: true },
  },
  biased: { model: { qkv_bias: true }, moe: { router: "topk", experts: 4, active: 2 } },
  "qwen2-moe": {
    moe: {
      ...{ router: "topk", experts: 4, active: 2, renormalize: true },
      ...{ shared_ffn: 10, shared_gate: true, dense_layers: [0], dense_ffn: 20 },
    },
  },
  relu: { moe: { router: "relu", experts: 4, active: 1 } },
  "relu-shared": {
    moe: { router: "relu", experts: 4, active: 2, granularity: 2, shared: 1, activation: "tanh" },
  },
};

/** The configuration of a run. */
export function configOf(
  { model, moe }: { readonly model?: object; readonly moe: object },
  out: string,
  data: object = {},
): TrainConfig {
  return parseConfig({
    preset: "pico",
    seed: 5,
    out,
    model: {
      ...{ layers: 2, hidden: 16, heads: 4, groups: 2, ffn: 24, init_std: 0.3, dtype: "f32" },
      ...model,
    },
    moe,
    data: { sequence: 64, ...data },
  });
}

/** Writes a run whose weights are as they were drawn. */
export function writeRun(device: Device, config: TrainConfig): void {
  using directory = RunDirectory.create(config);
  using built = buildModel(device, config);
  directory.writeCheckpoint({
    state: {
      format: 1,
      step: 0,
      tokens: 0,
      lambda: config.moe.lambda0,
      stage: initialStage("topk"),
      sampler: null,
      seed: config.seed,
      config_hash: configHash(config),
      versions: {},
    },
    model: modelEntries(savedTensors(built.model), config),
    optimizer: [],
  }, 1);
}
