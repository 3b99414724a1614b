/** Settings of routers, and the values of those that are not given. @module */

import type { RouterKey, RouterValue } from "./router_row.ts";

/**
 * The value of a setting that is not given.
 *
 * @param key What the setting must be.
 * @param settings The other settings, for one that follows from another.
 * @returns The value.
 */
export function defaultOf(
  key: RouterKey,
  settings: Readonly<Record<string, RouterValue>>,
): RouterValue {
  if (!follows(key)) return key.default as RouterValue;
  const { of, dividedBy } = key.default;
  return (settings[of] as number) / dividedBy;
}

/**
 * Completes the settings of routers.
 *
 * @param keys What the settings must be.
 * @param given Values by name; `"auto"` and undefined ask for what follows from others.
 * @returns Every key with its value.
 */
export function withKeyDefaults(
  keys: Readonly<Record<string, RouterKey>>,
  given: Readonly<Record<string, RouterValue | undefined>>,
): Record<string, RouterValue> {
  const settings: Record<string, RouterValue> = {};
  // First those that others follow from.
  const entries = Object.entries(keys).sort(([, a], [, b]) =>
    Number(follows(a)) - Number(follows(b))
  );
  for (const [name, key] of entries) {
    const value = given[name];
    const isGiven = value !== undefined && !(value === "auto" && follows(key));
    settings[name] = isGiven ? value : defaultOf(key, settings);
  }
  return settings;
}

/**
 * Whether a setting follows from another unless it is given.
 *
 * @param key What the setting must be.
 * @returns True where its default is a fraction of another key.
 */
export function follows(
  key: RouterKey,
): key is RouterKey & { readonly default: { readonly of: string; readonly dividedBy: number } } {
  return typeof key.default === "object";
}
