/** Configurations as flat lists. @module */

import type { ConfigLayer } from "./config.ts";

/**
 * Lists the values of a configuration, or of a part of one.
 *
 * @param config Values and sections of values.
 * @returns The values by dotted key, in order; lists and the weights of domains are values.
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
