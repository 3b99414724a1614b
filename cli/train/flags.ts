/**
 * The flags of `train`.
 *
 * @module
 */

import { BASE, PRESET_NAMES } from "../../lib/config/presets.ts";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import { type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";

/** A flag of `train`, which may stand for a key of the configuration. */
export interface TrainFlag extends Flag {
  /** Its heading in the help. */
  readonly group: "Model" | "Training" | "Run" | "Other";
  /** The key that it sets. */
  readonly key?: string;
  /** Whether its value is a number, not only a whole one. */
  readonly numeric?: boolean;
}

/** The flags of `train`, in the order of the help. */
export const TRAIN_FLAGS = {
  preset: {
    group: "Model",
    value: PRESET_NAMES.join("|"),
    key: "preset",
    about: "Sizes and recipe to start from",
    fallback: "nano",
  },
  router: {
    group: "Model",
    value: `${ROUTER_NAMES.join("|")}|FILE`,
    key: "moe.router",
    about: "Which router chooses the experts of a token",
    fallback: BASE.moe.router,
  },
  experts: {
    group: "Model",
    value: "E",
    key: "moe.experts",
    whole: {},
    about: "Full-size experts per layer",
    fallback: "8",
  },
  active: {
    group: "Model",
    value: "k",
    key: "moe.active",
    whole: {},
    about: "Full-size experts a token uses on average; target sparsity 1 - k/E",
    fallback: "1",
  },
  granularity: {
    group: "Model",
    value: "G",
    key: "moe.granularity",
    whole: {},
    about: "Parts that each expert is split into",
    fallback: "1",
  },
  "init-from": {
    group: "Model",
    value: "DIR",
    key: "init.from",
    about: "Run or checkpoint to take weights, sizes and tokenizer from; dense layers can become " +
      "experts, and the router can be another",
    fallback: "random weights",
  },
  "upcycle-noise": {
    group: "Model",
    value: "X",
    key: "init.noise",
    numeric: true,
    about: "Noise on experts copied from dense layers, relative to their weights",
    fallback: "0",
  },
  steps: {
    group: "Training",
    value: "N",
    key: "steps",
    whole: {},
    about: "Optimizer steps",
    fallback: "500",
  },
  batch: {
    group: "Training",
    value: "B",
    key: "data.batch",
    whole: {},
    about: "Sequences per step",
    fallback: "16",
  },
  sequence: {
    group: "Training",
    value: "T",
    key: "data.sequence",
    whole: {},
    about: "Tokens per sequence",
    fallback: "256",
  },
  lr: {
    group: "Training",
    value: "X",
    key: "optimizer.lr",
    numeric: true,
    about: "Peak learning rate",
    fallback: "0.001",
  },
  seed: {
    group: "Training",
    value: "S",
    key: "seed",
    whole: {},
    about: "Seed of the weights, the shuffle and the samples",
    fallback: "0",
  },
  tokenizer: {
    group: "Training",
    value: "byte|gpt2",
    key: "data.tokenizer",
    about: "The tokenizer",
    fallback: "byte",
  },
  data: {
    group: "Training",
    value: "PATH",
    repeat: true,
    key: "data.paths",
    about: "Text to train on: a file (.txt or .jsonl, also .gz), folder or 'pattern', or " +
      "domain=PATH; may be repeated",
    fallback: "the bundled text",
  },
  "validation-data": {
    group: "Training",
    value: "PATH",
    repeat: true,
    key: "data.validation_paths",
    about: "Text to validate on; may be repeated",
    fallback: "5 % of the documents",
  },
  weights: {
    group: "Training",
    value: "DOMAIN=X,…",
    repeat: true,
    key: "data.weights",
    about: "How often domains are drawn, as a multiple of their share of the text; may be repeated",
    fallback: "1 each",
  },
  device: {
    group: "Run",
    value: "auto|cpu|cuda",
    key: "device",
    about: "The device to train on",
    fallback: "auto",
  },
  memory: {
    group: "Run",
    value: "GIB",
    key: "memory.limit_gib",
    numeric: true,
    about: "Device memory the run may use; to stay within it, activations are recomputed",
    fallback: "85 % of the device's",
  },
  out: {
    group: "Run",
    value: "DIR",
    key: "out",
    about: "The run directory",
    fallback: "runs/<date>-<preset>-<router>-…",
  },
  tensorboard: {
    group: "Run",
    key: "log.tensorboard",
    about: "Also write event files for TensorBoard, to DIR/tensorboard",
  },
  resume: {
    group: "Run",
    value: "DIR",
    about: "Resume the run in DIR from its newest checkpoint, or from the checkpoint in folder " +
      "DIR; anything written after it is dropped",
  },
  config: {
    group: "Run",
    value: "FILE",
    about: "Configuration in JSON, JSONC or YAML; flags override it",
  },
  set: {
    group: "Run",
    value: "KEY=VALUE",
    repeat: true,
    about: "Any key of the configuration, overriding file and flags; may be repeated, the last " +
      "value of a key counts",
  },
  profile: {
    group: "Run",
    about: "Print where the steps spent their time, by kernel, and write DIR/profile.json for " +
      "Chrome's and Perfetto's trace viewers",
  },
  "dry-run": {
    group: "Other",
    about: "Print configuration, parameters, FLOPs and memory, and exit",
  },
  help: { group: "Other", about: "Print this help, and exit" },
  version: { group: "Other", about: "Print the version, and exit" },
} as const satisfies Readonly<Record<string, TrainFlag>>;

/**
 * Parses the flags of `train`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseTrainFlags(args: readonly string[]): Arguments<typeof TRAIN_FLAGS> {
  return parseFlags(args, TRAIN_FLAGS);
}
