/**
 * Turns layers of configuration (preset, file, flags) into a complete, checked one.
 *
 * @module
 */

import { requireFunction, requireOptions, requireText, shown } from "../arguments.ts";
import { describeFile } from "../moe/router_file.ts";
import { type RouterValue, withKeyDefaults } from "../moe/router_keys.ts";
import { type AnyRouter, ROUTER_KEYS } from "../moe/routers.ts";
import type {
  ConfigLayer,
  DataConfig,
  LayerSection,
  ModelConfig,
  MoEConfig,
  PresetName,
  TrainConfig,
} from "./config.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { crossFieldProblems, tokenizerVocabulary } from "./checks.ts";
import { configError, describeIssues } from "./issues.ts";
import { type LoadedRouter, RouterModule, specFor } from "./load_router.ts";
import { defined, mergeConfigLayers } from "./merge_config.ts";
import { BASE, presetLayer } from "./presets.ts";
import { routerFileOf } from "./router_schema.ts";
import { checkLayer, type SchemaIssue } from "./schema.ts";

/** Settings of {@linkcode parseConfig}. */
export interface ParseConfigOptions {
  /** Source of the input for errors, such as a file path. Default `the configuration`. */
  readonly source?: string;
  /** Turns a dotted key into what the user wrote, such as a flag. Default: the key itself. */
  readonly label?: (key: string) => string;
  /** The loaded router file, if `moe.router` names one. */
  readonly router?: LoadedRouter | undefined;
}

/**
 * Checks a configuration and completes it: missing values come from the preset it names (by default
 * `nano`) or are derived from other keys.
 *
 * @param input Any value, usually parsed from a file; a {@linkcode TrainConfig} comes back equal.
 * @param options Names for the errors.
 * @returns The complete configuration, plain JSON.
 * @throws {ConfigError} Names each wrong key with its value and what is expected, or the nearest
 * known key.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseConfig } from "@remoe/remoe/train";
 *
 * const config = parseConfig({ preset: "pico", moe: { experts: 4 } });
 * assertEquals(config.model.ffn, 4 * config.model.hidden);
 * assertEquals(parseConfig(config), config);
 * ```
 */
export function parseConfig(input: unknown, options: ParseConfigOptions = {}): TrainConfig {
  return resolveConfig([parseConfigLayer(input, options)], options);
}

/**
 * Checks one layer of configuration by itself: known keys, right types and ranges.
 *
 * @param input Any value, usually parsed from a file.
 * @param options Names for the errors.
 * @returns The layer.
 * @throws {ConfigError} Names each wrong key with its value and what is expected, or the nearest
 * known key.
 *
 * @example
 * ```ts
 * import { assert, assertThrows } from "@std/assert";
 * import { parseConfigLayer } from "@remoe/remoe/train";
 *
 * const layer = parseConfigLayer({ moe: { experts: 4 } });
 * assert(layer.moe?.experts === 4 && layer.steps === undefined);
 * assertThrows(() => parseConfigLayer({ moe: { expert: 4 } }), TypeError, "moe.experts");
 * ```
 */
export function parseConfigLayer(input: unknown, options: ParseConfigOptions = {}): ConfigLayer {
  const { source, label, router } = takenOptions(options);
  // The run's own router file first: one passed as an option takes its place.
  const keys = { ...routerFileOf(input)?.keys, ...router?.spec.keys };
  const checked = checkLayer(input, keys);
  if (!isIssues(checked)) return checked;
  throw configError(source, describeIssues(checked, input, label, keys));
}

/**
 * Merges layers over the preset they name and completes the result. For each key the last layer
 * that sets it wins; `data.weights` is merged per domain.
 *
 * A layer that changes the source of a derived key (`hidden` for `ffn`, `batch` for `micro_batch`,
 * ...) does not inherit that key. A layer that turns a routed model dense, or a dense one routed,
 * does not inherit `experts`, `active`, `granularity` and `shared`. A layer that changes the router
 * does not inherit keys that only the previous router reads, such as `lambda0` or `renormalize`.
 *
 * @param layers Layers as {@linkcode parseConfigLayer} returns them, lowest first.
 * @param options Names for the errors.
 * @returns The complete configuration, plain JSON.
 * @throws {ConfigError} If keys conflict.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseConfigLayer, resolveConfig } from "@remoe/remoe/train";
 *
 * const file = parseConfigLayer({ preset: "pico", data: { batch: 32 } });
 * const flags = parseConfigLayer({ moe: { router: "dense" } });
 * assertEquals(resolveConfig([file, flags]).moe.experts, 1);
 * ```
 */
export function resolveConfig(
  layers: readonly ConfigLayer[],
  options: ParseConfigOptions = {},
): TrainConfig {
  const { source, router } = takenOptions(options);
  if (!Array.isArray(layers)) {
    throw configError(source, [`its layers are ${shown(layers)}, expected a list`]);
  }
  // Checked again and copied: callers may be untyped, and may change their lists later.
  const checked = Array.from(layers, (layer) => parseConfigLayer(layer, options));
  const preset = checked.findLast((layer) => layer.preset !== undefined)?.preset ?? "nano";
  const merged = mergeConfigLayers([presetLayer(preset), ...checked], router);
  const spec = specFor({ ...merged.moe, router: merged.moe?.router ?? BASE.moe.router }, router);
  const config = complete(preset, merged, spec, router);
  const problems = crossFieldProblems(config, spec);
  if (problems.length > 0) throw configError(source, problems);
  return config;
}

/** Checked options. */
interface TakenOptions extends Required<Omit<ParseConfigOptions, "router">> {
  readonly router: RouterModule | undefined;
}

function takenOptions(options: ParseConfigOptions): TakenOptions {
  requireOptions("use a configuration", options, { source: true, label: true, router: true });
  const { source = "the configuration", label = (key) => key, router } = options;
  requireText("use a configuration", "source", source);
  requireFunction("use a configuration", "label", label);
  if (router !== undefined && !(router instanceof RouterModule)) {
    throw new TypeError(
      `Cannot use a configuration: router is ${shown(router)}, expected what loadRouter() gives`,
    );
  }
  return { source, label, router };
}

/** Fills in missing values from the defaults and the other keys. */
function complete(
  preset: PresetName,
  given: ConfigLayer,
  spec: AnyRouter,
  loaded: RouterModule | undefined,
): TrainConfig {
  const { run } = BASE;
  const model = completeModel(given);
  return {
    preset,
    steps: given.steps ?? run.steps,
    seed: given.seed ?? run.seed,
    device: given.device ?? run.device,
    threads: given.threads ?? run.threads,
    out: given.out ?? run.out,
    model,
    moe: completeMoE(given, spec, loaded, model),
    init: withDefaults(run.init, given.init),
    data: completeData(given),
    optimizer: withDefaults(run.optimizer, given.optimizer),
    schedule: withDefaults(run.schedule, given.schedule),
    memory: withDefaults(run.memory, given.memory),
    checkpoint: withDefaults(run.checkpoint, given.checkpoint),
    validation: withDefaults(run.validation, given.validation),
    flips: withDefaults(run.flips, given.flips),
    sample: withDefaults(run.sample, given.sample),
    log: withDefaults(run.log, given.log),
  };
}

function completeModel({ model = {}, data }: ConfigLayer): ModelConfig {
  const { ffn, vocabulary, init_std, ...given } = model;
  const { rope_base, norm_epsilon, dtype, ...sizes } = withDefaults(BASE.model, given);
  return {
    ...sizes,
    ffn: unlessAuto(ffn) ?? 4 * sizes.hidden,
    vocabulary: unlessAuto(vocabulary) ||
      tokenizerVocabulary({ tokenizer: BASE.data.tokenizer, ...defined(data ?? {}) }),
    init_std: unlessAuto(init_std) ?? initialDeviation(sizes.hidden),
    rope_base,
    norm_epsilon,
    dtype,
  };
}

function completeMoE(
  { moe = {} }: ConfigLayer,
  spec: AnyRouter,
  loaded: RouterModule | undefined,
  { hidden, init_std }: ModelConfig,
): MoEConfig {
  const { router, experts, active, granularity, shared } = BASE.moe;
  const { shared_ffn, shared_gate, dense_layers, dense_ffn } = BASE.moe;
  const usual = spec.routed ? { experts, active, granularity, shared } : ONE_EXPERT;
  // Copied: callers may change the lists of a configuration, but not those of the next one.
  const layers = { shared_ffn, shared_gate, dense_layers: [...dense_layers], dense_ffn };
  const given = defined(moe) as Record<string, RouterValue>;
  const whole = {
    ...{ router, ...usual, ...layers },
    ...given,
    router_std: unlessAuto(moe.router_std) ?? init_std,
    ...withKeyDefaults({ ...ROUTER_KEYS, ...spec.keys }, given),
  } as unknown as MoEConfig;
  if (whole.router !== loaded?.path) return whole;
  return { ...whole, router_file: describeFile(loaded.sha256, spec, whole, hidden) };
}

const ONE_EXPERT = { experts: 1, active: 1, granularity: 1, shared: 0 };

function completeData({ data = {} }: ConfigLayer): DataConfig {
  const { micro_batch, ...given } = data;
  const whole = withDefaults(structuredClone(BASE.data), given);
  return {
    ...whole,
    micro_batch: unlessAuto(micro_batch) ?? microBatch(whole.batch, whole.sequence),
  };
}

function withDefaults<Section extends object>(
  defaults: Section,
  given: LayerSection<Section> = {},
): Section {
  return { ...defaults, ...defined(given) };
}

function unlessAuto(value: number | "auto" | undefined): number | undefined {
  return value === "auto" ? undefined : value;
}

/** The largest divisor of `batch` whose sequences stay within the paper's 16 x 1,024 tokens. */
function microBatch(batch: number, sequence: number): number {
  let micro = Math.min(batch, Math.max(1, Math.floor(16_384 / sequence)));
  while (batch % micro !== 0) micro--;
  return micro;
}

function isIssues(
  checked: ConfigLayer | readonly SchemaIssue[],
): checked is readonly SchemaIssue[] {
  return Array.isArray(checked);
}
