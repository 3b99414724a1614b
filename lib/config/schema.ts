/**
 * The zod schema of one layer of configuration. It stays private; the interfaces in `config.ts` and
 * the list of keys are what is exported.
 *
 * @module
 */

import type { z } from "zod";
import type { RouterKey } from "../moe/router_keys.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";
import { QK_NORM_NAMES } from "../nn/qkv_options.ts";
import type { ConfigLayer } from "./config.ts";
import {
  flag,
  layerList,
  type Leaf,
  memoryLimit,
  number,
  oneOf,
  orAuto,
  orNull,
  path,
  paths,
  section,
  text,
  weights,
  whole,
} from "./leaves.ts";
import { PRESET_NAMES } from "./presets.ts";
import { routerFile, routerLeaves, routerName } from "./router_schema.ts";
import { tokenizerFile } from "./tokenizer_schema.ts";

/** A key of the configuration, for help and suggestions. */
export interface ConfigKey {
  /** The dotted key, such as `model.layers`. */
  readonly key: string;
  /** Description of valid values. */
  readonly expects: string;
  /** Purpose of the key. */
  readonly description: string;
}

const TOP = {
  preset: oneOf(PRESET_NAMES, "Preset that supplies the missing values"),
  steps: whole(1, "Optimizer steps of the run"),
  seed: whole(0, "Seed of the weights, the shuffle and the samples", Number.MAX_SAFE_INTEGER),
  device: oneOf(["auto", "cpu", "cuda"], "Kind of device to train on"),
  threads: whole(0, "CPU threads; 0: one per core", 4096),
  out: path("a new one under runs/", "Run directory"),
};

const SECTIONS = {
  model: section({
    // Ten times the deepest model ever trained; bounded since metrics are kept per layer.
    layers: whole(1, "Transformer blocks", 10_000),
    hidden: whole(2, "Width of the residual stream"),
    heads: whole(1, "Query heads"),
    groups: whole(1, "Key and value heads; divides heads"),
    head_dim: orNull(whole(2, "Size of a head, an even number"), "hidden / heads"),
    qkv_bias: flag("Whether a bias is added to queries, keys and values"),
    qk_norm: oneOf(
      QK_NORM_NAMES,
      "RMSNorm of queries and keys: full: over all heads together; head: over each",
    ),
    clip_qkv: orNull(
      number({ above: 0 }, "Largest size of an element of queries, keys and values"),
      "no limit",
    ),
    tied: flag("Whether the output head is the embedding, one parameter with both gradients"),
    ffn: orAuto(whole(1, "Width of the dense SwiGLU and of a full-size expert"), "4 * hidden"),
    vocabulary: orAuto(
      whole(0, "Rows of the embedding; 0 is auto"),
      "the tokenizer's vocabulary",
    ),
    init_std: orAuto(
      number({ above: 0 }, "Standard deviation of the initial weights"),
      "0.01 * sqrt(768 / hidden)",
    ),
    rope_base: number({ above: 1 }, "Base of the rotary embedding's wavelengths"),
    norm_epsilon: number({ above: 0 }, "Epsilon that RMSNorm adds to the mean square"),
    dtype: oneOf(
      ["auto", "f32", "bf16"],
      "Type of activations and products; auto: bf16 for large models on devices with a unit for it",
    ),
  }),
  moe: section({
    router: routerName("Router that selects the experts of each token"),
    router_file: routerFile().optional(),
    experts: whole(1, "Full-size experts per layer, E"),
    active: whole(1, "Full-size experts per token on average, k"),
    granularity: whole(1, "Number of parts each expert is split into, G"),
    shared: whole(0, "Experts of width ffn / G that every token uses; they count in active"),
    shared_ffn: orNull(
      whole(1, "Width of an expert that every token uses, apart from active, in place of shared"),
      "none",
    ),
    shared_gate: flag("Whether the shared experts' output is multiplied by a sigmoid gate"),
    dense_layers: layerList("Layers with one dense network in place of experts, from 0"),
    dense_ffn: orNull(whole(1, "Width of that network"), "model.ffn"),
    router_std: orAuto(
      number({ above: 0 }, "Standard deviation of the router's initial weights"),
      "model.init_std",
    ),
    ...routerLeaves(ROUTER_KEYS),
  }),
  init: section({
    from: path("random weights", "Run or checkpoint whose weights the run starts from"),
    noise: number(
      { least: 0 },
      "Noise on experts copied from a dense layer, relative to its weights' root mean square",
    ),
    rescale: flag(
      "Whether copied experts are scaled to keep the mean size of what the layer puts out",
    ),
  }),
  data: section({
    paths: paths("Text files, folders or patterns, or domain=path; none: the bundled text"),
    validation_paths: paths("Same, for validation; none: a share of the documents"),
    weights: weights("How often each domain is drawn, as a multiple of its share of the text"),
    tokenizer: oneOf(
      ["byte", "gpt2", "file"],
      "Tokenizer of the text; file: that of an imported model",
    ),
    tokenizer_file: tokenizerFile().optional(),
    batch: whole(1, "Sequences per optimizer step"),
    sequence: whole(1, "Tokens per sequence"),
    micro_batch: orAuto(
      whole(1, "Sequences per forward pass; divides batch"),
      "the largest divisor of batch within 16,384 tokens",
    ),
    validation_fraction: number(
      { above: 0, most: 0.5 },
      "Share of the documents held out for validation",
    ),
    cache: path("the user's cache folder", "Folder of the token shards"),
  }),
  optimizer: section({
    lr: number({ above: 0 }, "Peak learning rate"),
    beta1: number({ least: 0, below: 1 }, "Decay of the first moment"),
    beta2: number({ least: 0, below: 1 }, "Decay of the second moment"),
    epsilon: number({ above: 0 }, "Added to the square root of the second moment"),
    weight_decay: number({ least: 0 }, "Decoupled weight decay; not applied to norms"),
    clip: number({ least: 0 }, "Maximum global gradient norm; 0: no clipping"),
  }),
  schedule: section({
    kind: oneOf(["cosine"], "Learning-rate curve after the warmup"),
    warmup: whole(0, "Steps of linear warmup from 0"),
    final_ratio: number(
      { least: 0, most: 1 },
      "Learning rate of the last step, relative to the peak",
    ),
  }),
  memory: section({
    limit_gib: memoryLimit(),
    recompute: oneOf(
      ["auto", "always", "never"],
      "Whether the backward pass recomputes the experts' pre-activations; auto: where memory " +
        "requires it",
    ),
  }),
  checkpoint: section({
    every: whole(0, "Steps between checkpoints; 0: only at the end"),
    keep: whole(0, "Number of newest checkpoints to keep; 0: all"),
  }),
  validation: section({
    every: whole(0, "Steps between validations; 0: never"),
    batches: whole(1, "Micro-batches per validation"),
  }),
  flips: section({
    every: whole(0, "Steps between measurements of the routing that a step changes; 0: never"),
  }),
  sample: section({
    every: whole(0, "Steps between samples; 0: only at the end"),
    tokens: whole(1, "Tokens to draw"),
    temperature: number({ least: 0 }, "Divisor of the logits; 0: always the likeliest token"),
    prompt: text("Text to continue; empty: a new document"),
  }),
  log: section({
    tensorboard: flag("Whether to write TensorBoard event files as well"),
  }),
};

/** Definitions of router keys by name. */
type RouterKeys = Readonly<Record<string, RouterKey>>;

/** Schema of a layer whose router has the given keys as well. */
function layerSchema(keys: RouterKeys): z.ZodType {
  const { moe, ...others } = SECTIONS;
  const partial = Object.entries(others).map(([name, group]) => [name, group.partial()]);
  return section({
    ...TOP,
    moe: moe.extend(routerLeaves(keys)).partial(),
    ...Object.fromEntries(partial),
  }).partial();
}

const LAYER = layerSchema({});

/** An issue found by zod: its location, and either what is expected or which keys are unknown. */
export interface SchemaIssue {
  /** Keys from the root to the value. */
  readonly path: readonly string[];
  /** Description of valid values. */
  readonly expects: string;
  /** Unknown keys of the object at `path`; empty for other issues. */
  readonly unknown: readonly string[];
}

/**
 * Checks one layer of configuration against the schema.
 *
 * @param input Any value.
 * @param keys Keys of `moe` that a router file defines. Default none.
 * @returns The layer, or all issues with it.
 */
export function checkLayer(
  input: unknown,
  keys?: RouterKeys,
): ConfigLayer | readonly SchemaIssue[] {
  const dropped = droppedKeys(input);
  const result = (keys === undefined ? LAYER : layerSchema(keys)).safeParse(input);
  if (result.success) return dropped.length === 0 ? result.data as ConfigLayer : dropped;
  return dropped.concat(result.error.issues.map((issue) => ({
    path: issue.path.map(String),
    expects: issue.message,
    unknown: issue.code === "unrecognized_keys" ? issue.keys : [],
  })));
}

const DROPPED = "__proto__";

/** Finds keys that zod silently drops, up to two groups deep. */
function droppedKeys(input: unknown, path: readonly string[] = []): SchemaIssue[] {
  if (typeof input !== "object" || input === null || path.length > 2) return [];
  const below = Object.entries(input)
    .flatMap(([key, value]) => key === DROPPED ? [] : droppedKeys(value, [...path, key]));
  if (!Object.hasOwn(input, DROPPED)) return below;
  // At this depth keys are names chosen by users.
  return path.length === 2
    ? [{ path, expects: `no name ${DROPPED}, rename the domain`, unknown: [] }, ...below]
    : [{ path, expects: "", unknown: [DROPPED] }, ...below];
}

/** Every key of the configuration, in the order of the documentation. */
export const CONFIG_KEYS: readonly ConfigKey[] = [
  ...keysOf(TOP, ""),
  ...Object.entries(SECTIONS).flatMap(([name, group]) => keysOf(group.shape, `${name}.`)),
];

/**
 * Describes the keys of a router from a file, in the form of {@linkcode CONFIG_KEYS}.
 *
 * @param keys The definitions of the keys.
 * @returns The keys that the library does not have.
 */
export function routerConfigKeys(keys: RouterKeys): ConfigKey[] {
  const known = new Set(CONFIG_KEYS.map(({ key }) => key));
  return keysOf(routerLeaves(keys), "moe.").filter(({ key }) => !known.has(key));
}

/** Lists the keys of a group. A leaf without a description is not for users and is left out. */
function keysOf(shape: object, prefix: string): ConfigKey[] {
  return Object.entries(shape as Record<string, Leaf>).flatMap(([name, schema]) => {
    const { expects, description = "" } = schema.meta() ?? {};
    return expects === undefined ? [] : [{ key: prefix + name, expects, description }];
  });
}
