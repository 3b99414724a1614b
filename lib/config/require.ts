/**
 * Checks of arguments at run time, for callers without types.
 *
 * @module
 */

import { shown } from "../arguments.ts";
import type { TrainConfig } from "./config.ts";
import { configError, describeIssues } from "./issues.ts";
import { isRouterPath, routerFileOf } from "./router_schema.ts";
import { OR_AUTO } from "./leaves.ts";
import { checkLayer, CONFIG_KEYS, routerConfigKeys } from "./schema.ts";

/**
 * Throws unless a configuration is complete, as `parseConfig()` returns it: each key present, of
 * its type and within its range.
 *
 * @param config The configuration.
 * @param sections Sections to check. Default all.
 * @throws {ConfigError} Names each key that is missing or wrong.
 */
export function requireConfig(
  config: Partial<TrainConfig>,
  sections?: readonly (keyof TrainConfig)[],
): void {
  const source = "the configuration";
  const part = sections === undefined
    ? config
    : Object.fromEntries(sections.map((name) => [name, config?.[name]]));
  const keys = routerFileOf(part)?.keys;
  const checked = checkLayer(part, keys);
  if (Array.isArray(checked)) {
    throw configError(
      source,
      describeIssues(checked, part, (key) => key, keys),
    );
  }
  const missing = [...CONFIG_KEYS, ...routerConfigKeys(keys ?? {})]
    .filter(({ key }) => sections?.some((name) => key.startsWith(`${name}.`)) ?? true)
    .filter(({ key, expects }) => {
      const value = valueAt(part, key);
      // Derived keys may be "auto" only before they are resolved; for other keys it may be a value.
      const isAuto = value === "auto" || (key === "model.vocabulary" && value === 0);
      return value === undefined || isAuto && expects.includes(OR_AUTO);
    })
    .map(({ key }) => key);
  if (isRouterPath(valueAt(part, "moe.router")) && keys === undefined) {
    missing.push("moe.router_file");
  }
  if (missing.length === 0) return;
  throw configError(source, missing.map((key) => `${key} is missing; parseConfig() completes it`));
}

/**
 * Throws unless a value is an amount of memory.
 *
 * @param operation The operation, worded to follow "Cannot".
 * @param name The argument.
 * @param value Its value, in bytes.
 * @throws {RangeError} If it is not a number above 0.
 */
export function requireBytes(
  operation: string,
  name: string,
  value: unknown,
): asserts value is number {
  if (typeof value === "number" && value > 0) return;
  throw new RangeError(
    `Cannot ${operation}: ${name} is ${shown(value)}, expected a number of bytes above 0`,
  );
}

function valueAt(config: object, key: string): unknown {
  return key.split(".").reduce<unknown>(
    (at, name) => (at as Record<string, unknown> | undefined)?.[name],
    config,
  );
}
