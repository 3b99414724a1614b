/** Flattens and compares configurations. @module */

import type { ConfigLayer } from "./config.ts";

/**
 * Flattens a configuration, or a part of one.
 *
 * @param config Values and sections of values.
 * @returns The values by dotted key, in order; lists and domain weights count as single values.
 */
export function valuesByKey(config: ConfigLayer): Map<string, unknown> {
  return new Map(
    Object.entries(config).flatMap(([key, value]) =>
      typeof value === "object" && value !== null
        ? Object.entries(value).map(([name, inner]): [string, unknown] => [`${key}.${name}`, inner])
        : [[key, value] as [string, unknown]]
    ),
  );
}

/**
 * Lists the differences between two configurations, or parts of them.
 *
 * @param before The first, as returned by {@linkcode valuesByKey}.
 * @param now The second.
 * @param words The words before either value.
 * @returns `key was 1 and is 2` for each value that differs.
 */
export function differences(
  before: ReadonlyMap<string, unknown>,
  now: ReadonlyMap<string, unknown>,
  [was, is]: readonly [string, string] = [" was", "and is"],
): string[] {
  return [...before]
    .map(([key, value]) => [key, JSON.stringify(value), JSON.stringify(now.get(key))])
    .filter(([, first, second]) => first !== second)
    .map(([key, first, second]) => `${key}${was} ${first} ${is} ${second}`);
}
