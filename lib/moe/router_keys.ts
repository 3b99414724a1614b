/** Definitions of routers' settings, and their defaults. @module */

/** Value of a router's setting; plain JSON. */
export type RouterValue = number | string | boolean;

/** Definition of a setting that is a finite number. */
export interface NumberKey {
  /** Discriminates the kinds of setting. */
  readonly type: "number";
  /** Exclusive lower bound. */
  readonly above?: number;
  /** Inclusive lower bound; 0 if neither lower bound is given. */
  readonly least?: number;
  /** Exclusive upper bound. */
  readonly below?: number;
  /** Inclusive upper bound. */
  readonly most?: number;
  /** Default value, or the key in the same row from which it is derived by division. */
  readonly default: number | { readonly of: string; readonly dividedBy: number };
  /** Description shown in the help. */
  readonly about: string;
}

/** Definition of a setting that is a whole number. */
export interface WholeKey {
  /** Discriminates the kinds of setting. */
  readonly type: "whole";
  /** Smallest value. */
  readonly least: number;
  /** Largest value. Default 2³¹ - 1. */
  readonly most?: number;
  /** Default value. */
  readonly default: number;
  /** Description shown in the help. */
  readonly about: string;
}

/** Definition of a setting that is one of several names. */
export interface ChoiceKey<Value extends string = string> {
  /** Discriminates the kinds of setting. */
  readonly type: "choice";
  /** The names. */
  readonly values: readonly Value[];
  /** Default value. */
  readonly default: NoInfer<Value>;
  /** Description shown in the help. */
  readonly about: string;
}

/** Definition of a boolean setting. */
export interface FlagKey {
  /** Discriminates the kinds of setting. */
  readonly type: "flag";
  /** Default value. */
  readonly default: boolean;
  /** Description shown in the help. */
  readonly about: string;
}

/** Definition of a setting: plain JSON, used to build the configuration schema and the help. */
export type RouterKey<Value = RouterValue> = [RouterValue] extends [Value]
  ? NumberKey | WholeKey | ChoiceKey | FlagKey
  : [Value] extends [number] ? NumberKey | WholeKey
  : [Value] extends [string] ? ChoiceKey<Value>
  : FlagKey;

/** Definitions of settings by name. */
export type RouterKeysOf<Values> = {
  readonly [Name in keyof Values]: RouterKey<Values[Name]>;
};

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
