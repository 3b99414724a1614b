/**
 * Whether a run may continue under a configuration. Settings that determined the steps already
 * taken must stay as they were, or `config.json` would misdescribe those steps. The others may
 * change: they determine no past step (step count, device, checkpoint interval), or they are logged
 * with every step (the learning rate).
 *
 * @module
 */

import { createHash } from "node:crypto";
import { withTypeOf } from "../config/compute_type.ts";
import type { MoEConfig, TrainConfig } from "../config/config.ts";
import { requireConfig } from "../config/require.ts";
import { differences, valuesByKey } from "../config/values_by_key.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { defaultOf, type RouterValue } from "../moe/router_keys.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * The values that a resumed run shares with the run it continues, by dotted key. `micro_batch` is
 * one of them: f_e is a share within a micro-batch, so another size gives another gradient.
 */
function fixedValues(config: TrainConfig): Map<string, unknown> {
  const { model, moe, seed, validation: { batches } } = config;
  const data = lastingData(config);
  const { lr: _lr, ...optimizer } = config.optimizer;
  const fixed = { model, moe, data, optimizer, seed, validation: { batches } };
  // Where the weights came from is a path on some machine; the state names their SHA-256.
  const { from, ...init } = config.init;
  return valuesByKey(from === null ? fixed : { ...fixed, init });
}

/** The section `data` without the places of files, which may move. */
function lastingData({ data }: TrainConfig): object {
  const { cache: _, tokenizer_file: file, ...rest } = data;
  if (file === undefined) return rest;
  const { path: _path, ...contents } = file;
  return { ...rest, tokenizer_file: contents };
}

/** The values that early versions hashed for a checkpoint. */
function earlyValues(config: TrainConfig): Map<string, unknown> {
  const { model, moe, seed } = config;
  const { router, experts, active, granularity } = moe;
  const data = lastingData(config);
  const early = { router, experts, active, granularity, ...fileValues(moe) };
  return withoutLaterKeys(valuesByKey({ model, moe: early, data, seed }), config);
}

function hashOf(values: Map<string, unknown>): string {
  const sorted = [...values].sort(([a], [b]) => a < b ? -1 : 1);
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}

/** The keys of `moe` that the hash has held from the start, whatever their value. */
const ALWAYS_HASHED: readonly string[] = [
  "balance",
  "lambda0",
  "alpha",
  "lambda_floor",
  "lambda_ceiling",
  "balance_coefficient",
  "renormalize",
];

/**
 * The values without the keys that came later and change nothing: where they have these values, a
 * checkpoint that was written without them stays valid. A checkpoint of `auto` is one that no run
 * has begun, whose type is not settled yet.
 */
function withoutLaterKeys(
  values: Map<string, unknown>,
  { model, moe }: TrainConfig,
): Map<string, unknown> {
  const settings = { ...moe } as unknown as Readonly<Record<string, RouterValue>>;
  const later: Record<string, readonly unknown[]> = {
    "model.dtype": ["f32", "auto"],
    "model.head_dim": [null, model.hidden / model.heads],
    "model.qkv_bias": [false],
    "model.qk_norm": ["none"],
    "model.clip_qkv": [null],
    "model.tied": [false],
    "moe.shared": [0],
    "moe.shared_ffn": [null],
    "moe.shared_gate": [false],
    "moe.dense_layers": [[]],
    "moe.dense_ffn": [null],
    "moe.router_std": [model.init_std],
  };
  for (const [name, key] of Object.entries(ROUTER_KEYS)) {
    if (!ALWAYS_HASHED.includes(name)) later[`moe.${name}`] = [defaultOf(key, settings)];
  }
  for (const [key, same] of Object.entries(later)) {
    // Lists are equal by their elements.
    const value = JSON.stringify(values.get(key));
    if (same.some((each) => JSON.stringify(each) === value)) values.delete(key);
  }
  return values;
}

/** A router file's hash and its own settings: only the file knows what depends on them. */
function fileValues({ router_file: file, ...moe }: MoEConfig): Record<string, unknown> {
  if (file === undefined) return {};
  const own = Object.entries(moe).filter(([key]) => key in file.keys && !(key in ROUTER_KEYS));
  return { router_sha256: file.sha256, ...Object.fromEntries(own) };
}

/**
 * Hashes what a resumed run must share with the run it continues. A checkpoint stores the hash, so
 * a `config.json` edited by hand is noticed.
 *
 * @param config The run's configuration.
 * @returns SHA-256 in hexadecimal; the order of the keys does not matter.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { configHash, parseConfig } from "@remoe/remoe/train";
 *
 * // The number of steps may change on resuming, the seed may not.
 * assert(configHash(parseConfig({ steps: 9 })) === configHash(parseConfig({})));
 * assert(configHash(parseConfig({ seed: 9 })) !== configHash(parseConfig({})));
 * ```
 */
export function configHash(config: TrainConfig): string {
  requireConfig(config);
  return hashOf(withoutLaterKeys(fixedValues(config), config));
}

/**
 * Refuses a checkpoint that was written under another configuration.
 *
 * @param cannot What cannot be done, such as "Cannot resume"; precedes the checkpoint's path.
 * @param checkpoint The checkpoint.
 * @param config The configuration to use it with.
 * @param source Where the configuration comes from.
 * @throws {CheckpointError} The configurations differ.
 */
export function checkWrittenUnder(
  cannot: string,
  { path, state }: Pick<Checkpoint, "path" | "state">,
  config: TrainConfig,
  source: string,
): void {
  const hashes = [configHash(config), hashOf(earlyValues(config))];
  if (hashes.includes(state.config_hash)) return;
  throw new CheckpointError(
    `${cannot} ${path}: it was written under another configuration than ${source}; ` +
      `undo what was changed there`,
  );
}

/**
 * Checks that a run may continue under a configuration.
 *
 * @param saved The configuration the run was started with.
 * @param config The configuration to continue with; a type of `auto` keeps that of the run.
 * @throws {ConfigError} A value that must not change has changed; the message names each.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { checkResumable, parseConfig } from "@remoe/remoe/train";
 *
 * const saved = parseConfig({});
 * checkResumable(saved, parseConfig({ steps: 9 }));
 * assertThrows(() => checkResumable(saved, parseConfig({ seed: 9 })), TypeError, "seed was 0 and is 9");
 * ```
 */
export function checkResumable(saved: TrainConfig, config: TrainConfig): void {
  requireConfig(saved);
  requireConfig(config);
  const [before, now] = [saved.moe, config.moe];
  if (before.router === now.router && before.router_file?.sha256 !== now.router_file?.sha256) {
    throw new ConfigError(
      `Cannot resume with another router: the file ${now.router} has changed since the run began; ` +
        `put it back as it was, or start a new run`,
    );
  }
  // These affect no number, but say where values and weights came from, and where the run is.
  const mustStay = (config: TrainConfig): Map<string, unknown> => {
    const { preset, out, init: { from } } = config;
    return new Map([...valuesByKey({ preset, out, init: { from } }), ...fixedValues(config)]);
  };
  const changed = differences(mustStay(saved), mustStay(withTypeOf(saved, config)));
  if (changed.length === 0) return;
  // A run settles its type when it begins.
  if (saved.model.dtype === "auto" && config.model.dtype !== "auto") {
    throw new ConfigError(
      "Cannot resume a run that has not begun, such as an imported model; start one from its " +
        "weights with --init-from",
    );
  }
  throw new ConfigError(
    `Cannot resume with settings the run was not computed with: ${changed.join(", ")}; restore ` +
      `them, or start a new run`,
  );
}
