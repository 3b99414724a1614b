/**
 * The zod schema of one layer of configuration. It stays private: what is exported are the
 * interfaces of `config.ts` and the list of keys.
 *
 * Every leaf carries what it expects in words, which serves both the error and the help.
 *
 * @module
 */

import { z } from "zod";
import type { ConfigLayer } from "./config.ts";

/** One key of the configuration, for help texts and for suggestions. */
export interface ConfigKey {
  /** The dotted key, like `model.layers`. */
  readonly key: string;
  /** What the value must be, in words. */
  readonly expects: string;
  /** What the key is for. */
  readonly description: string;
}

/** What {@linkcode leaf} attaches to a schema. */
interface Leaf {
  meta(): { description?: string; expects?: string } | undefined;
}

function leaf<Schema extends z.ZodType>(
  schema: Schema,
  expects: string,
  description: string,
): Schema {
  return schema.meta({ description, expects });
}

/** A whole number; 32-bit, since sizes cross to the kernels as int32. */
function whole(min: number, description: string, max = 2 ** 31 - 1): z.ZodNumber {
  const expects = max === 2 ** 31 - 1
    ? `a whole number of at least ${min}`
    : `a whole number from ${min} to ${max}`;
  const error = { error: expects };
  return leaf(z.number(error).int(error).min(min, error).max(max, error), expects, description);
}

interface Bounds {
  readonly above?: number;
  readonly least?: number;
  readonly below?: number;
  readonly most?: number;
}

/** A finite number between bounds. */
function number({ above, least, below, most }: Bounds, description: string): z.ZodNumber {
  const lower = above !== undefined ? `above ${above}` : `of at least ${least ?? 0}`;
  const upper = below !== undefined
    ? ` and below ${below}`
    : most !== undefined
    ? ` and at most ${most}`
    : "";
  const expects = `a number ${lower}${upper}`;
  const error = { error: expects };
  let schema = z.number(error);
  schema = above !== undefined ? schema.gt(above, error) : schema.gte(least ?? 0, error);
  if (below !== undefined) schema = schema.lt(below, error);
  if (most !== undefined) schema = schema.lte(most, error);
  return leaf(schema, expects, description);
}

function oneOf<const Values extends readonly [string, ...string[]]>(
  values: Values,
  description: string,
): z.ZodType<Values[number]> {
  const expects = values.length === 1 ? `"${values[0]}"` : `one of ${values.join(", ")}`;
  return leaf(z.enum(values, { error: expects }), expects, description);
}

function flag(description: string): z.ZodType<boolean> {
  return leaf(z.boolean({ error: "true or false" }), "true or false", description);
}

function text(description: string): z.ZodType<string> {
  const whole = "a text without half a surrogate pair, which UTF-8 cannot hold";
  const schema = z.string({ error: "a text" }).regex(/^\P{Surrogate}*$/u, { error: whole });
  return leaf(schema, "a text", description);
}

function path(absent: string, description: string): z.ZodType<string | null> {
  const error = { error: `a path, or null for ${absent}` };
  return leaf(pathText(error).nullable(), error.error, description);
}

/** No system has a name with a character of value 0, and UTF-8 none with half a surrogate pair. */
function pathText(error: { readonly error: string }): z.ZodString {
  return z.string(error).min(1, error).regex(/^[^\0\p{Surrogate}]*$/u, error);
}

function weights(description: string): z.ZodType<Record<string, number>> {
  const error = { error: "numbers of at least 0 by domain, like books=2" };
  const schema = z.record(z.string().min(1, error), z.number(error).gte(0, error), error);
  return leaf(schema, error.error, description);
}

function memoryLimit(): z.ZodType<number | null> {
  const error = { error: "a number of GiB above 0, or null for 85 % of the device's memory" };
  const schema = z.number(error).gt(0, error).nullable();
  return leaf(schema, error.error, "GiB of device memory that the run may take");
}

function paths(description: string): z.ZodType<string[]> {
  const error = { error: "a list of paths" };
  return leaf(z.array(pathText(error), error), error.error, description);
}

/** What marks the keys that follow from others, in what they expect. */
export const OR_AUTO = ', or "auto"';

/** The same leaf, where `"auto"` asks for the value that follows from other keys. */
function orAuto<Value>(schema: z.ZodType<Value>, rule: string): z.ZodType<Value | "auto"> {
  const { expects, description } = (schema as Leaf).meta() ?? {};
  const either = `${expects ?? ""}${OR_AUTO} (${rule})`;
  return leaf(z.union([schema, z.literal("auto")], { error: either }), either, description ?? "");
}

function section<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => issue.code === "invalid_type" ? "a group of keys" : undefined,
  });
}

const TOP = {
  preset: oneOf(
    ["pico", "nano", "tiny", "182m", "469m", "978m"],
    "The preset that supplies what is not given",
  ),
  steps: whole(1, "Optimizer steps of the whole run"),
  seed: whole(0, "Seed of the weights, the shuffle and the samples", Number.MAX_SAFE_INTEGER),
  device: oneOf(["auto", "cpu", "cuda"], "Which kind of device trains"),
  threads: whole(0, "CPU threads; 0: one a core", 4096),
  out: path("a new one under runs/", "The run directory"),
};

const SECTIONS = {
  model: section({
    // Ten times the deepest that anyone has trained: figures are kept for each layer.
    layers: whole(1, "Transformer blocks", 10_000),
    hidden: whole(2, "Width of the residual stream"),
    heads: whole(1, "Query heads"),
    groups: whole(1, "Key and value heads; divides heads"),
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
    norm_epsilon: number({ above: 0 }, "What RMSNorm adds to the mean square"),
  }),
  moe: section({
    router: oneOf(["dense", "topk", "relu"], "Which router chooses the experts of a token"),
    experts: whole(1, "Full-size experts a layer, E"),
    active: whole(1, "Full-size experts a token uses on average, k"),
    granularity: whole(1, "How many parts each expert is split into, G"),
    balance: oneOf(["load", "plain", "none"], "The L1 term of the relu router"),
    lambda0: number({ above: 0 }, "Lambda at the first step"),
    alpha: number({ above: 1 }, "What lambda is multiplied or divided by after each step"),
    lambda_floor: orAuto(number({ least: 0 }, "Lambda never falls below"), "lambda0 / 100"),
    lambda_ceiling: number({ above: 0 }, "Lambda never rises above"),
    balance_coefficient: number({ least: 0 }, "Coefficient of the topk router's balance term"),
    renormalize: flag("Whether the topk router divides a token's gates by their sum"),
  }),
  data: section({
    paths: paths("Text files, folders or patterns, or domain=path; none: the bundled text"),
    validation_paths: paths("The same to validate on; none: a share of the documents"),
    weights: weights("How often each domain is drawn, as a multiple of its share of the text"),
    tokenizer: oneOf(["byte", "gpt2"], "Which tokenizer turns the text into tokens"),
    batch: whole(1, "Sequences an optimizer step"),
    sequence: whole(1, "Tokens a sequence"),
    micro_batch: orAuto(
      whole(1, "Sequences worked on at once; divides batch"),
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
    epsilon: number({ above: 0 }, "What is added to the root of the second moment"),
    weight_decay: number({ least: 0 }, "Decoupled weight decay; not applied to norms"),
    clip: number({ least: 0 }, "Largest norm of the whole gradient; 0: no clipping"),
  }),
  schedule: section({
    kind: oneOf(["cosine"], "The curve of the learning rate after the warmup"),
    warmup: whole(0, "Steps of linear warmup from 0"),
    final_ratio: number({ least: 0, most: 1 }, "Learning rate of the last step over the peak"),
  }),
  memory: section({
    limit_gib: memoryLimit(),
    recompute: oneOf(
      ["auto", "always", "never"],
      "Whether the backward pass computes the experts' pre-activations again: auto where memory " +
        "asks for it",
    ),
  }),
  checkpoint: section({
    every: whole(0, "Steps between checkpoints; 0: only at the end"),
    keep: whole(0, "How many of the newest to keep; 0: all"),
  }),
  validation: section({
    every: whole(0, "Steps between validations; 0: never"),
    batches: whole(1, "Micro-batches of a validation"),
  }),
  sample: section({
    every: whole(0, "Steps between samples; 0: only at the end"),
    tokens: whole(1, "Tokens to draw"),
    temperature: number({ least: 0 }, "What logits are divided by; 0: always the likeliest token"),
    prompt: text("Text to continue; empty: the start of a document"),
  }),
  log: section({
    tensorboard: flag("Whether figures also go to event files for TensorBoard"),
  }),
};

const LAYER = section({
  ...TOP,
  model: SECTIONS.model.partial(),
  moe: SECTIONS.moe.partial(),
  data: SECTIONS.data.partial(),
  optimizer: SECTIONS.optimizer.partial(),
  schedule: SECTIONS.schedule.partial(),
  memory: SECTIONS.memory.partial(),
  checkpoint: SECTIONS.checkpoint.partial(),
  validation: SECTIONS.validation.partial(),
  sample: SECTIONS.sample.partial(),
  log: SECTIONS.log.partial(),
}).partial();

/** What zod found wrong: where, and what it expects there or which keys it does not know. */
export interface SchemaIssue {
  /** Keys from the root to the value. */
  readonly path: readonly string[];
  /** What the value should be, in words. */
  readonly expects: string;
  /** Keys of the object at `path` that nobody knows; empty for other issues. */
  readonly unknown: readonly string[];
}

/**
 * Checks one layer of configuration against the schema.
 *
 * @param input Any value.
 * @returns The layer, or everything that is wrong with it.
 */
export function checkLayer(input: unknown): ConfigLayer | readonly SchemaIssue[] {
  const dropped = droppedKeys(input);
  const result = LAYER.safeParse(input);
  if (result.success) return dropped.length === 0 ? result.data : dropped;
  return dropped.concat(result.error.issues.map((issue) => ({
    path: issue.path.map(String),
    expects: issue.message,
    unknown: issue.code === "unrecognized_keys" ? issue.keys : [],
  })));
}

const DROPPED = "__proto__";

/** The keys that zod leaves out without a word, two groups deep. */
function droppedKeys(input: unknown, path: readonly string[] = []): SchemaIssue[] {
  if (typeof input !== "object" || input === null || path.length > 2) return [];
  const below = Object.entries(input)
    .flatMap(([key, value]) => key === DROPPED ? [] : droppedKeys(value, [...path, key]));
  if (!Object.hasOwn(input, DROPPED)) return below;
  // At this depth keys are names that users chose.
  return path.length === 2
    ? [{ path, expects: `no name ${DROPPED}, rename the domain`, unknown: [] }, ...below]
    : [{ path, expects: "", unknown: [DROPPED] }, ...below];
}

/** Every key that a configuration knows, in the order of the documentation. */
export const CONFIG_KEYS: readonly ConfigKey[] = [
  ...keysOf(TOP, ""),
  ...Object.entries(SECTIONS).flatMap(([name, group]) => keysOf(group.shape, `${name}.`)),
];

function keysOf(shape: object, prefix: string): ConfigKey[] {
  return Object.entries(shape as Record<string, Leaf>).map(([name, schema]) => {
    const { expects, description } = schema.meta() ?? {};
    return { key: prefix + name, expects: expects ?? "", description: description ?? "" };
  });
}
