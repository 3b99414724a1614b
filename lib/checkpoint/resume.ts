/**
 * Whether a run may go on under a configuration: what its tensors and its data depend on must be
 * as it was; the rest (steps, learning rate, how often to save) may change.
 *
 * @module
 */

import { requireConfig } from "../config/require.ts";
import { createHash } from "node:crypto";
import type { MoEConfig, TrainConfig } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";

/**
 * The values that a resumed run shares with the run it continues, by dotted key. `micro_batch`
 * belongs to them: f_e is a share within a micro-batch, so another size is another gradient.
 */
function fixedValues(config: TrainConfig): Map<string, unknown> {
  const { model, moe, data, seed } = config;
  const { router, experts, active, granularity } = moe;
  const { cache: _, ...text } = data;
  const sections = {
    model,
    moe: { router, experts, active, granularity, ...fileValues(moe) },
    data: text,
  };
  const entries = Object.entries(sections).flatMap(([section, values]) =>
    Object.entries(values).map(([key, value]) => [`${section}.${key}`, value] as const)
  );
  return new Map<string, unknown>([...entries, ["seed", seed]]);
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
  const sorted = [...fixedValues(config)].sort(([a], [b]) => a < b ? -1 : 1);
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
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
  const wanted = fixedValues(config);
  const changed = [...fixedValues(saved)]
    .filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(wanted.get(key)))
    .map(([key, value]) =>
      `${key} was ${JSON.stringify(value)} and is ${JSON.stringify(wanted.get(key))}`
    );
  if (changed.length > 0) {
    throw new ConfigError(
      `Cannot resume with another model or other data: ${changed.join(", ")}`,
    );
  }
}
