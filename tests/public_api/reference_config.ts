/** A small configuration, and what the documentation allows in one. @module */

import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import { demand } from "./entry.ts";

const BALANCE_NAMES = ["load", "plain", "none", "load-squared", "transport"];

type Allows = (value: unknown) => boolean;
type Keys = Readonly<Record<string, Allows>>;

const whole = (least: number, most = 2 ** 31 - 1): Allows => (value) =>
  Number.isInteger(value) && value as number >= least && value as number <= most;
const finite = (fits: (value: number) => boolean): Allows => (value) =>
  typeof value === "number" && Number.isFinite(value) && fits(value);
const oneOf = (...values: unknown[]): Allows => (value) => values.includes(value);
const above = (least: number): Allows => finite((value) => value > least);
const from = (least: number, most = Infinity): Allows =>
  finite((value) => value >= least && value <= most);
const orNull = (allows: Allows): Allows => (value) => value === null || allows(value);
const layers: Allows = (value) =>
  Array.isArray(value) && value.every((each, i) => whole(i === 0 ? 0 : value[i - 1] + 1)(each));
const share = finite((value) => value >= 0 && value < 1);
const text: Allows = (value) => typeof value === "string";
const isPath = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && !value.includes("\0");
const path: Allows = (value) => value === null || isPath(value);
const paths: Allows = (value) => Array.isArray(value) && Array.from(value).every(isPath);

const TOP: Keys = {
  preset: oneOf("pico", "nano", "tiny", "182m", "469m", "978m"),
  steps: whole(1),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  device: oneOf("auto", "cpu", "cuda"),
  threads: whole(0, 4096),
  out: path,
};

const SECTIONS: Readonly<Record<string, Keys>> = {
  model: {
    ...{ layers: whole(1, 10_000), hidden: whole(2), heads: whole(1), groups: whole(1) },
    ...{ ffn: whole(1), vocabulary: whole(0), init_std: above(0), rope_base: above(1) },
    ...{ norm_epsilon: above(0), dtype: oneOf("auto", "f32", "bf16") },
    ...{ head_dim: orNull(whole(2)), qkv_bias: oneOf(true, false), tied: oneOf(true, false) },
    ...{ qk_norm: oneOf("none", "full", "head"), clip_qkv: orNull(above(0)) },
  },
  moe: {
    ...{ router: oneOf(...ROUTER_NAMES), balance: oneOf(...BALANCE_NAMES) },
    ...{ activation: oneOf("relu", "relu-squared", "tanh"), revive: from(0) },
    ...{ lambda_rule: oneOf("sign", "proportional"), lambda_limit: above(1) },
    ...{ lambda_gain: from(0), lambda_damping: from(0) },
    ...{ experts: whole(1), active: whole(1), granularity: whole(1), alpha: above(1) },
    ...{ lambda0: above(0), lambda_floor: from(0), lambda_ceiling: above(0) },
    ...{ balance_coefficient: from(0), z_coefficient: from(0), renormalize: oneOf(true, false) },
    ...{ gate_scale: above(0), warmup_active: whole(0), warmup_steps: whole(0) },
    ...{ normalize: oneOf("auto", "never"), bias_rate: from(0) },
    ...{ shared: whole(0), router_std: above(0) },
    ...{ shared_ffn: orNull(whole(1)), shared_gate: oneOf(true, false) },
    ...{ dense_layers: layers, dense_ffn: orNull(whole(1)) },
    jitter: above(0),
    ...{ capacity: above(0), group: oneOf("batch", "sequence") },
  },
  init: { from: path, noise: from(0), rescale: oneOf(true, false) },
  data: {
    ...{ paths, validation_paths: paths, tokenizer: oneOf("byte", "gpt2"), cache: path },
    ...{ batch: whole(1), sequence: whole(1), micro_batch: whole(1) },
    validation_fraction: finite((value) => value > 0 && value <= 0.5),
    weights: (value) => isObject(value) && Object.values(value).every((each) => from(0)(each)),
  },
  optimizer: {
    ...{ lr: above(0), beta1: share, beta2: share, epsilon: above(0) },
    ...{ weight_decay: from(0), clip: from(0) },
  },
  schedule: { kind: oneOf("cosine"), warmup: whole(0), final_ratio: from(0, 1) },
  memory: {
    limit_gib: (value) => value === null || above(0)(value),
    recompute: oneOf("auto", "always", "never"),
  },
  checkpoint: { every: whole(0), keep: whole(0) },
  validation: { every: whole(0), batches: whole(1) },
  flips: { every: whole(0) },
  sample: { every: whole(0), tokens: whole(1), temperature: from(0), prompt: text },
  log: { tensorboard: oneOf(true, false) },
};

/** Every key of a run so small that it trains in a few milliseconds. */
export const TINY = {
  ...{ preset: "pico", steps: 1, seed: 3, device: "cpu", threads: 1 },
  out: null as string | null,
  model: {
    ...{ layers: 1, hidden: 4, heads: 2, groups: 1, ffn: 4, vocabulary: 257, init_std: 0.1 },
    ...{ rope_base: 1e4, norm_epsilon: 1e-5, dtype: "f32" },
    ...{ head_dim: null as number | null, qkv_bias: false, qk_norm: "none" },
    ...{ clip_qkv: null as number | null, tied: false },
  },
  moe: {
    ...{ router: "relu", experts: 2, active: 1, granularity: 1, balance: "load" },
    ...{ activation: "relu", revive: 0 },
    ...{ lambda0: 1e-8, alpha: 1.2, lambda_floor: 1e-10, lambda_ceiling: 1e4 },
    ...{ lambda_rule: "sign", lambda_gain: 0.3, lambda_damping: 1, lambda_limit: 1.5 },
    ...{ balance_coefficient: 0.01, z_coefficient: 0, renormalize: false },
    ...{ gate_scale: 1, warmup_active: 0, warmup_steps: 100, normalize: "auto", bias_rate: 0.001 },
    ...{ shared: 0, router_std: 0.1 },
    ...{ shared_ffn: null as number | null, shared_gate: false },
    ...{ dense_layers: [] as number[], dense_ffn: null as number | null },
    jitter: 0.1,
    ...{ capacity: 1, group: "batch" },
  },
  init: { from: null as string | null, noise: 0, rescale: true },
  data: {
    paths: [] as string[],
    validation_paths: [] as string[],
    weights: {},
    ...{ tokenizer: "byte", batch: 2, sequence: 8, micro_batch: 1, validation_fraction: 0.25 },
    cache: null as string | null,
  },
  optimizer: { lr: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.01, clip: 1 },
  schedule: { kind: "cosine", warmup: 0, final_ratio: 0.1 },
  memory: { limit_gib: null, recompute: "auto" },
  checkpoint: { every: 0, keep: 1 },
  validation: { every: 1, batches: 1 },
  flips: { every: 0 },
  sample: { every: 0, tokens: 2, temperature: 0.8, prompt: "" },
  log: { tensorboard: false },
};

/** Values with which keys of `model` that are younger than the hash of checkpoints change nothing. */
export const LATER_MODEL_KEYS: Readonly<Record<string, readonly unknown[]>> = {
  ...{ dtype: ["f32", "auto"], head_dim: [null, TINY.model.hidden / TINY.model.heads] },
  ...{ qkv_bias: [false], qk_norm: ["none"], clip_qkv: [null], tied: [false] },
};

/** Defaults of the keys of `moe` that are younger than the hash of checkpoints. */
export const LATER_MOE_KEYS: Readonly<Record<string, unknown>> = {
  ...{ shared: 0, z_coefficient: 0 },
  ...{ shared_ffn: null, shared_gate: false, dense_layers: [], dense_ffn: null },
  ...{ gate_scale: 1, warmup_active: 0, warmup_steps: 100 },
  ...{ normalize: "auto", bias_rate: 0.001 },
  ...{ activation: "relu", revive: 0 },
  ...{ lambda_rule: "sign", lambda_gain: 0.3, lambda_damping: 1, lambda_limit: 1.5 },
  ...{ jitter: 0.1, capacity: 1, group: "batch" },
};

/** A configuration as the references read it. */
export type Config = typeof TINY;

/** A copy of {@linkcode TINY} with some keys replaced. */
export function tiny(changes: Readonly<Record<string, unknown>> = {}): Config {
  const copy = structuredClone(TINY) as unknown as Record<string, unknown>;
  for (const [key, value] of Object.entries(changes)) {
    copy[key] = isObject(value) ? { ...copy[key] as object, ...value } : value;
  }
  return copy as unknown as Config;
}

/** Refuses anything but an object. */
export function demandObject(value: unknown): asserts value is Record<string, unknown> {
  demand(isObject(value), "no object");
}

/** Refuses anything that cannot name a file or folder. */
export function demandPath(value: unknown): asserts value is string {
  demand(isPath(value), "no path");
}

/** Refuses a complete configuration with a wrong key, or with contradictory keys. */
export function demandConfig(value: unknown): asserts value is Config {
  demandObject(value);
  for (const [key, allows] of Object.entries(TOP)) demand(allows(value[key]), key);
  for (const [name, keys] of Object.entries(SECTIONS)) {
    const section = value[name];
    demandObject(section);
    for (const [key, allows] of Object.entries(keys)) demand(allows(section[key]), key);
  }
}

/** Refuses a layer with a wrong key; undefined counts as absent. */
export function demandLayer(value: unknown): asserts value is Record<string, unknown> {
  demandObject(value);
  for (const [key, given] of entriesGiven(value)) {
    if (Object.hasOwn(TOP, key)) demand(TOP[key]!(given), key);
    else {
      demand(Object.hasOwn(SECTIONS, key), `unknown ${key}`);
      demandObject(given);
      for (const [inner, item] of entriesGiven(given)) {
        demand(SECTIONS[key]![inner]?.(item) ?? false, inner);
      }
    }
  }
}

/** A layer without its undefined values. */
export function givenOf(layer: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    entriesGiven(layer).map(([key, value]) => [key, isObject(value) ? givenOf(value) : value]),
  );
}

/** The number of trained numbers in the configuration's model. */
export function parametersOf({ model, moe }: Config): number {
  const { layers, hidden, ffn, vocabulary, tied } = model;
  const attention = attentionParametersOf(model);
  const experts = (moe.experts + moe.shared / moe.granularity) * 3 * hidden * ffn +
    3 * hidden * (moe.shared_ffn ?? 0) + (moe.shared_gate ? hidden : 0);
  const router = ["dense", "hash"].includes(moe.router)
    ? 0
    : hidden * moe.experts * moe.granularity;
  const dense = moe.dense_layers.length;
  return (tied ? 1 : 2) * vocabulary * hidden + hidden + layers * (attention + 2 * hidden) +
    (layers - dense) * (experts + router) + dense * 3 * hidden * (moe.dense_ffn ?? ffn);
}

/** The number of trained numbers in a layer's attention. */
export function attentionParametersOf(model: Config["model"]): number {
  const { hidden, heads, groups, qkv_bias, qk_norm, head_dim } = model;
  const size = head_dim ?? hidden / heads;
  const columns = (heads + 2 * groups) * size;
  const scales = qk_norm === "full" ? (heads + groups) * size : qk_norm === "head" ? 2 * size : 0;
  return hidden * columns + heads * size * hidden + (qkv_bias ? columns : 0) + scales;
}

function entriesGiven(value: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(value).filter(([, item]) => item !== undefined);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
