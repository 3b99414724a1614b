/**
 * The flags of `train`, and the configuration that they and the files make.
 *
 * @module
 */

import type { ConfigLayer, TrainConfig } from "../../lib/config/config.ts";
import type { LoadedRouter } from "../../lib/config/load_router.ts";
import { parseConfigLayer, resolveConfig } from "../../lib/config/parse_config.ts";
import { BASE, PRESET_NAMES } from "../../lib/config/presets.ts";
import { isRouterPath } from "../../lib/config/router_schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { RouterChoice } from "../../lib/moe/router_of.ts";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import { findRun, type FoundRun } from "../../lib/run/find_run.ts";
import {
  absolutePath,
  type Arguments,
  decimal,
  type Flag,
  parseFlags,
} from "../shared/arguments.ts";
import { configFileRouter, readConfigFile, withAbsolutePaths } from "./config_file.ts";

/** A flag of `train`: some stand for a key of the configuration. */
export interface TrainFlag extends Flag {
  /** Heading in the help. */
  readonly group: "Model" | "Training" | "Run" | "Other";
  /** The key that it sets. */
  readonly key?: string;
  /** Whether its value is a number. */
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
    numeric: true,
    about: "Full-size experts a layer",
    fallback: "8",
  },
  active: {
    group: "Model",
    value: "k",
    key: "moe.active",
    numeric: true,
    about: "Full-size experts a token uses on average; target sparsity 1 - k/E",
    fallback: "1",
  },
  granularity: {
    group: "Model",
    value: "G",
    key: "moe.granularity",
    numeric: true,
    about: "Parts that each expert is split into",
    fallback: "1",
  },
  steps: {
    group: "Training",
    value: "N",
    key: "steps",
    numeric: true,
    about: "Optimizer steps",
    fallback: "500",
  },
  batch: {
    group: "Training",
    value: "B",
    key: "data.batch",
    numeric: true,
    about: "Sequences a step",
    fallback: "16",
  },
  sequence: {
    group: "Training",
    value: "T",
    key: "data.sequence",
    numeric: true,
    about: "Tokens a sequence",
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
    numeric: true,
    about: "Seed of the weights, the shuffle and the samples",
    fallback: "0",
  },
  tokenizer: {
    group: "Training",
    value: "byte|gpt2",
    key: "data.tokenizer",
    about: "What turns text into tokens",
    fallback: "byte",
  },
  data: {
    group: "Training",
    value: "PATH",
    repeat: true,
    key: "data.paths",
    about: "Text to train on: file (.txt, .jsonl, also .gz), folder or 'pattern', as it is or as " +
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
    key: "data.weights",
    about: "How often domains are drawn, as a multiple of their share of the text",
    fallback: "1 each",
  },
  device: {
    group: "Run",
    value: "auto|cpu|cuda",
    key: "device",
    about: "What to train on",
    fallback: "auto",
  },
  memory: {
    group: "Run",
    value: "GIB",
    key: "memory.limit_gib",
    numeric: true,
    about: "Device memory the run may take; to stay within, it keeps less and computes more",
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
    about: "Go on with the run in DIR from its newest checkpoint, or from the one whose folder " +
      "DIR is; what was written after it is dropped",
  },
  config: {
    group: "Run",
    value: "FILE",
    about: "Configuration in JSON, JSONC or YAML; flags count over it",
  },
  set: {
    group: "Run",
    value: "KEY=VALUE",
    repeat: true,
    about: "Any key of the configuration, over file and flags; may be repeated",
  },
  profile: {
    group: "Run",
    about: "Print where the steps' time went, by kernel, and write DIR/profile.json for the " +
      "trace viewers of Chrome and Perfetto",
  },
  "dry-run": {
    group: "Other",
    about: "Print configuration, parameters, FLOPs and memory, and stop",
  },
  help: { group: "Other", about: "Print this help, and stop" },
  version: { group: "Other", about: "Print the version, and stop" },
} as const satisfies Readonly<Record<string, TrainFlag>>;

/** What a command line of `train` asks for. */
export interface TrainRequest {
  /** The whole configuration. */
  readonly config: TrainConfig;
  /** The run to go on with; null: a new one. */
  readonly run: FoundRun | null;
}

/**
 * Reads the flags of `train`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} A flag is unknown, or lacks its value.
 */
export function parseTrainFlags(args: readonly string[]): Arguments<typeof TRAIN_FLAGS> {
  return parseFlags(args, TRAIN_FLAGS);
}

/**
 * Makes the configuration: preset, then the resumed run's or the file's, then flags, then `--set`.
 *
 * @param given What {@linkcode parseTrainFlags} returned.
 * @param base The folder that relative paths start from.
 * @param router The file that {@linkcode routerChoice} names, loaded.
 * @returns The configuration and the run to go on with.
 * @throws {ConfigError} A value, or a combination of values, that cannot be used.
 */
export function trainRequest(
  given: Arguments<typeof TRAIN_FLAGS>,
  base: string,
  router?: LoadedRouter,
): TrainRequest {
  const resume = given.value("resume");
  const run = resume === undefined ? null : findRun(absolutePath(resume, base));
  if (run !== null) refuseWithResume(given);
  const file = given.value("config");
  const layers = [
    ...(run === null ? [] : [run.config]),
    ...(file === undefined ? [] : [readConfigFile(absolutePath(file, base), router)]),
    // One layer: what a command line says together must fit together, in whatever order.
    withAbsolutePaths(
      joined([
        flagLayer(given, router),
        ...given.values("set").map((text) => settingLayer(text, router)),
      ]),
      base,
    ),
  ];
  return { config: resolveConfig(layers, { router }), run };
}

/**
 * Finds the router's file that a command line asks for, which is to be loaded before the keys of the
 * configuration are known.
 *
 * @param given What {@linkcode parseTrainFlags} returned.
 * @param base The folder that relative paths start from.
 * @returns The file, absolute, and what a resumed run keeps of it; undefined where the router is one
 * of the library.
 * @throws {ConfigError} The resumed run or the configuration's file cannot be read.
 */
export function routerChoice(
  given: Arguments<typeof TRAIN_FLAGS>,
  base: string,
): RouterChoice | undefined {
  const [, set] = /^moe\.router=(.*)$/.exec(
    given.values("set").findLast((text) => text.startsWith("moe.router=")) ?? "",
  ) ?? [];
  const said = set ?? given.value("router");
  if (said !== undefined) return fileChoice(absolutePath(said, base));
  const config = given.value("config");
  const inFile = config === undefined ? undefined : configFileRouter(absolutePath(config, base));
  if (inFile !== undefined) return fileChoice(inFile);
  const resume = given.value("resume");
  if (resume === undefined) return undefined;
  const { moe } = findRun(absolutePath(resume, base)).config;
  return isRouterPath(moe.router) ? moe : undefined;
}

function fileChoice(router: string): RouterChoice | undefined {
  return isRouterPath(router) ? { router } : undefined;
}

/** Flags and settings as one layer; of each key, the last that names it counts. */
function joined(layers: readonly ConfigLayer[]): ConfigLayer {
  const whole: Record<string, unknown> = {};
  for (const [key, value] of layers.flatMap((layer) => Object.entries(layer))) {
    const isSection = typeof value === "object" && value !== null;
    whole[key] = isSection ? { ...whole[key] as object | undefined, ...value } : value;
  }
  return whole as ConfigLayer;
}

/** A preset under a resumed configuration would say nothing, and another directory is another run. */
function refuseWithResume(given: Arguments<typeof TRAIN_FLAGS>): void {
  for (const name of ["preset", "out"] as const) {
    if (given.has(name)) {
      throw new ConfigError(`--${name} cannot go with --resume, which keeps the run's own`);
    }
  }
}

function flagLayer(
  given: Arguments<typeof TRAIN_FLAGS>,
  router: LoadedRouter | undefined,
): ConfigLayer {
  const layer: Record<string, unknown> = {};
  const labels = new Map<string, string>();
  for (const [name, flag] of Object.entries<TrainFlag>(TRAIN_FLAGS)) {
    const known = name as keyof typeof TRAIN_FLAGS;
    if (flag.key === undefined || !given.has(known)) continue;
    labels.set(flag.key, `--${name}`);
    assign(layer, flag.key, flag.value === undefined || flagValue(flag, given.values(known)));
  }
  return parseConfigLayer(layer, {
    source: "the flags",
    router,
    label: (key) => labels.get(key) ?? key,
  });
}

function flagValue({ key, numeric, repeat }: TrainFlag, texts: readonly string[]): unknown {
  if (repeat) return texts;
  const text = texts.at(-1)!;
  if (key === "data.weights") return asWeights(text);
  return numeric ? asNumber(text) : text;
}

/** `books=2,github=0.5`; what is not of this form stays a text, which the schema refuses. */
function asWeights(text: string): unknown {
  const pairs = text.split(",").map((pair) => /^([^=]+)=(.+)$/.exec(pair));
  if (pairs.includes(null)) return text;
  return Object.fromEntries(pairs.map((pair) => [pair![1]!.trim(), asNumber(pair![2]!.trim())]));
}

/** `key=value`: the value as JSON where it is JSON, else as the text it is. */
function settingLayer(text: string, router: LoadedRouter | undefined): ConfigLayer {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    throw new ConfigError(`Cannot use --set ${text}: expected KEY=VALUE, like model.layers=6`);
  }
  const layer: Record<string, unknown> = {};
  assign(layer, key, asJson(value));
  return parseConfigLayer(layer, { source: `--set ${text}`, router });
}

/** Sets a dotted key; own properties only, whatever the names are. */
function assign(target: Record<string, unknown>, key: string, value: unknown): void {
  const [name = "", ...rest] = key.split(".");
  const own = (inner: unknown): void => {
    Object.defineProperty(target, name, {
      value: inner,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  };
  if (rest.length === 0) return own(value);
  const group = Object.hasOwn(target, name) ? target[name] as Record<string, unknown> : {};
  assign(group, rest.join("."), value);
  own(group);
}

/** A decimal number; anything else stays a text, which the schema will name and refuse. */
function asNumber(text: string): number | string {
  return decimal(text) ?? text;
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
