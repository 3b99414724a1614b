/**
 * What a command line of `train` asks for: the configuration that its flags and files make.
 *
 * @module
 */

import type { ConfigLayer, TrainConfig } from "../../lib/config/config.ts";
import { doubledKey } from "../../lib/config/doubled_key.ts";
import type { LoadedRouter } from "../../lib/config/load_router.ts";
import { joinLayers } from "../../lib/config/merge_config.ts";
import { parseConfigLayer, resolveConfig } from "../../lib/config/parse_config.ts";
import { isRouterPath } from "../../lib/config/router_schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { RouterChoice } from "../../lib/moe/router_of.ts";
import { findRun, type FoundRun } from "../../lib/run/find_run.ts";
import { absolutePath, type Arguments, type WholeFlag } from "../shared/arguments.ts";
import { decimal } from "../shared/numbers.ts";
import {
  configFileInit,
  configFileRouter,
  readConfigFile,
  withAbsolutePaths,
} from "./config_file.ts";
import { TRAIN_FLAGS, type TrainFlag } from "./flags.ts";

/** What a command line of `train` asks for. */
export interface TrainRequest {
  /** The full configuration. */
  readonly config: TrainConfig;
  /** The run to resume; null: a new one. */
  readonly run: FoundRun | null;
}

/**
 * Makes the configuration: the preset, overridden by the resumed run's configuration or by the model
 * of the run that it starts from, then by the file, then by flags and `--set`.
 *
 * @param given What `parseTrainFlags()` returned.
 * @param base The folder that relative paths are resolved against.
 * @param router The file that {@linkcode routerChoice} names, loaded.
 * @returns The configuration and the run to resume.
 * @throws {ConfigError} If a value or a combination of values cannot be used.
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
  const source = initialPath(given, base);
  const layers = [
    ...(run === null ? [] : [run.config]),
    ...(source === null ? [] : [modelOf(findRun(source).config)]),
    ...(file === undefined ? [] : [readConfigFile(absolutePath(file, base), router)]),
    // A single layer: flags and --set must agree with each other, in whatever order they come.
    withAbsolutePaths(
      given.values("set").map((text) => settingLayer(text, router))
        .reduce(joinLayers, flagLayer(given, router)),
      base,
    ),
  ];
  return { config: resolveConfig(layers, { router }), run };
}

/**
 * Finds the router file that a command line asks for. It has to be loaded before the keys of the
 * configuration are known.
 *
 * @param given What `parseTrainFlags()` returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The file's absolute path, and what a resumed run recorded of it; undefined if the router
 * is one of the library's.
 * @throws {ConfigError} If the resumed run or the configuration file cannot be read.
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
  if (resume !== undefined) {
    const { moe } = findRun(absolutePath(resume, base)).config;
    return isRouterPath(moe.router) ? moe : undefined;
  }
  const source = initialPath(given, base);
  return source === null ? undefined : fileChoice(findRun(source).config.moe.router);
}

/**
 * Finds the run that a new run starts from. Its model is what the other settings are made on.
 *
 * @param given What `parseTrainFlags()` returned.
 * @param base The folder that relative paths are resolved against.
 * @returns An absolute path; null if weights are random or the run is resumed.
 * @throws {ConfigError} If the configuration file cannot be read.
 */
export function initialPath(given: Arguments<typeof TRAIN_FLAGS>, base: string): string | null {
  if (given.has("resume")) return null;
  const [, set] = /^init\.from=(.*)$/s.exec(
    given.values("set").findLast((text) => text.startsWith("init.from=")) ?? "",
  ) ?? [];
  const said = set ?? given.value("init-from");
  if (said !== undefined) return said === "null" || said === "" ? null : absolutePath(said, base);
  const file = given.value("config");
  return file === undefined ? null : configFileInit(absolutePath(file, base)) ?? null;
}

/** The parts of a configuration that its weights depend on, and the preset that it was made on. */
function modelOf({ preset, model, moe, data }: TrainConfig): ConfigLayer {
  const { dtype: _dtype, ...sizes } = model;
  const { router_file: _file, ...mixture } = moe;
  const { tokenizer, tokenizer_file } = data;
  return { preset, model: sizes, moe: mixture, data: { tokenizer, tokenizer_file } };
}

function fileChoice(router: string): RouterChoice | undefined {
  return isRouterPath(router) ? { router } : undefined;
}

/** A resumed configuration would override any preset, and another directory is another run. */
function refuseWithResume(given: Arguments<typeof TRAIN_FLAGS>): void {
  for (const name of ["preset", "out"] as const) {
    if (given.has(name)) {
      throw new ConfigError(`--${name} cannot go with --resume, which keeps the run's own`);
    }
  }
  for (const name of ["init-from", "upcycle-noise"] as const) {
    if (given.has(name)) {
      throw new ConfigError(
        `--${name} cannot go with --resume: a resumed run continues from its own weights`,
      );
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
    const value = given.whole(known as WholeFlag<typeof TRAIN_FLAGS>) ??
      (flag.value === undefined || flagValue(flag, given.values(known)));
    assign(layer, flag.key, value);
  }
  return parseConfigLayer(layer, {
    source: "the flags",
    router,
    label: (key) => labels.get(key) ?? key,
  });
}

function flagValue({ key, numeric, repeat }: TrainFlag, texts: readonly string[]): unknown {
  if (key === "data.weights") return asWeights(texts.join(","));
  if (repeat) return texts;
  const text = texts.at(-1)!;
  return numeric ? asNumber(text) : text;
}

/** Parses `books=2,github=0.5`; anything else stays a string, which the schema refuses. */
function asWeights(text: string): unknown {
  const pairs = text.split(",").map((pair) => /^([^=]+)=(.+)$/.exec(pair));
  if (pairs.includes(null)) return text;
  const names = pairs.map((pair) => pair![1]!.trim());
  const doubled = names.find((name, i) => names.indexOf(name) < i);
  if (doubled !== undefined) {
    throw new ConfigError(
      `Cannot use --weights ${text}: it names ${doubled} twice; give it one weight`,
    );
  }
  return Object.fromEntries(names.map((name, i) => [name, asNumber(pairs[i]![2]!.trim())]));
}

/** Parses `key=value`; the value counts as JSON if it is valid JSON, else as a string. */
function settingLayer(text: string, router: LoadedRouter | undefined): ConfigLayer {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    throw new ConfigError(`Cannot use --set ${text}: expected KEY=VALUE, like model.layers=6`);
  }
  const layer: Record<string, unknown> = {};
  const given = asJson(value);
  const doubled = typeof given === "object" && given !== null ? doubledKey(value) : null;
  if (doubled !== null) {
    throw new ConfigError(`Cannot use --set ${text}: it holds the key ${doubled} twice`);
  }
  assign(layer, key, given);
  return parseConfigLayer(layer, { source: `--set ${text}`, router });
}

/** Sets a dotted key, as own properties even for names like `__proto__`. */
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

/** Parses a decimal number; anything else stays a string, which the schema refuses by name. */
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
