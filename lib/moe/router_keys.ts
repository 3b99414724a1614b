/** Defaults of router settings. @module */

import type { RouterKey, RouterValue } from "./router_row.ts";

/**
 * Returns the default of a setting.
 *
 * @param key The setting's definition.
 * @param settings The other settings, for a default derived from one of them.
 * @returns The default.
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
 * Fills in the settings that are missing.
 *
 * @param keys The settings' definitions.
 * @param given Values by name; undefined asks for the default, as does `"auto"` where that is
 * derived from another setting.
 * @returns A value for every key.
 */
export function withKeyDefaults(
  keys: Readonly<Record<string, RouterKey>>,
  given: Readonly<Record<string, RouterValue | undefined>>,
): Record<string, RouterValue> {
  const settings: Record<string, RouterValue> = {};
  // Derived defaults come last: they read the other values.
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
 * Tells whether a setting's default is derived from another setting.
 *
 * @param key The setting's definition.
 * @returns True if the default is a fraction of another key.
 */
export function follows(
  key: RouterKey,
): key is RouterKey & { readonly default: { readonly of: string; readonly dividedBy: number } } {
  return typeof key.default === "object";
}
