/**
 * Whether a run may go on under a configuration. What decides the numbers of the steps already taken
 * must be as it was, or `config.json` would say another thing of them than was computed. What may
 * change decides none of them (steps, device, how often to save), or is in the figures of each step
 * (the learning rate).
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { MoEConfig, TrainConfig } from "../config/config.ts";
import { requireConfig } from "../config/require.ts";
import { differences, valuesByKey } from "../config/values_by_key.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * The values that a resumed run shares with the run it continues, by dotted key. `micro_batch`
 * belongs to them: f_e is a share within a micro-batch, so another size is another gradient.
 */
function fixedValues(config: TrainConfig): Map<string, unknown> {
  const { model, moe, seed, validation: { batches } } = config;
  const { cache: _cache, ...data } = config.data;
  const { lr: _lr, ...optimizer } = config.optimizer;
  return valuesByKey({ model, moe, data, optimizer, seed, validation: { batches } });
}

/** The values that checkpoints of early versions were hashed by. */
function earlyValues(config: TrainConfig): Map<string, unknown> {
  const { model, moe, seed } = config;
  const { router, experts, active, granularity } = moe;
  const { cache: _, ...data } = config.data;
  const early = { router, experts, active, granularity, ...fileValues(moe) };
  return valuesByKey({ model, moe: early, data, seed });
}

function hashOf(values: Map<string, unknown>): string {
  const sorted = [...values].sort(([a], [b]) => a < b ? -1 : 1);
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}

/** The file of a router, and its own settings: only the file knows what depends on them. */
function fileValues({ router_file: file, ...moe }: MoEConfig): Record<string, unknown> {
  if (file === undefined) return {};
  const own = Object.entries(moe).filter(([key]) => key in file.keys && !(key in ROUTER_KEYS));
  return { router_sha256: file.sha256, ...Object.fromEntries(own) };
}

/**
 * A hash of what a resumed run must share with the run it continues. A checkpoint keeps it, so that
 * a `config.json` that was changed by hand is noticed.
 *
 * @param config The run's configuration.
 * @returns SHA-256 in hexadecimal; the order of the keys does not matter.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { configHash, parseConfig } from "@remoe/remoe/train";
 *
 * // The number of steps may change when a run goes on, the seed may not.
 * assert(configHash(parseConfig({ steps: 9 })) === configHash(parseConfig({})));
 * assert(configHash(parseConfig({ seed: 9 })) !== configHash(parseConfig({})));
 * ```
 */
export function configHash(config: TrainConfig): string {
  requireConfig(config);
  return hashOf(fixedValues(config));
}

/**
 * Refuses a checkpoint that was written under another configuration.
 *
 * @param cannot What cannot be done, like "Cannot resume", to precede the checkpoint's path.
 * @param checkpoint The checkpoint.
 * @param config The configuration to use it with.
 * @param source Where that comes from.
 * @throws {CheckpointError} Says so, and what to do.
 */
export function checkWrittenUnder(
  cannot: string,
  { path, state }: Checkpoint,
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
 * Checks that a run may go on under a configuration.
 *
 * @param saved The run's own configuration.
 * @param config The one to go on with.
 * @throws {ConfigError} Names each value that may not change.
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
  // A preset names where values came from, and `out` where the run is: other ones would be wrong.
  const mustStay = ({ preset, out, ...rest }: TrainConfig): Map<string, unknown> =>
    new Map([...valuesByKey({ preset, out }), ...fixedValues({ preset, out, ...rest })]);
  const changed = differences(mustStay(saved), mustStay(config));
  if (changed.length > 0) {
    throw new ConfigError(
      `Cannot resume with what the run was not computed with: ${
        changed.join(", ")
      }; leave that as ` +
        `it was, or start a new run`,
    );
  }
}
