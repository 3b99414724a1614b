/**
 * Describes problems with a configuration in the user's terms.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { RouterKey } from "../moe/router_keys.ts";
import { nearest } from "../nearest.ts";
import { CONFIG_KEYS, routerConfigKeys, type SchemaIssue } from "./schema.ts";

/** Turns a dotted key into what the user wrote, such as a flag. */
export type KeyLabel = (key: string) => string;

/**
 * Describes the issues found by the schema.
 *
 * @param issues What {@linkcode checkLayer} returned.
 * @param input The value that was checked.
 * @param label How to name keys.
 * @param routerKeys The keys of `moe` that the router of a file reads.
 * @returns One sentence per problem.
 */
export function describeIssues(
  issues: readonly SchemaIssue[],
  input: unknown,
  label: KeyLabel,
  routerKeys: Readonly<Record<string, RouterKey>> = {},
): string[] {
  const known = [...CONFIG_KEYS, ...routerConfigKeys(routerKeys)].map(({ key }) => key);
  const sentences = issues.flatMap(({ path, expects, unknown }) =>
    unknown.length > 0
      ? unknown.map((key) => unknownKey([...path, key].join("."), known, label))
      : [wrongValue(path, expects, input, label)]
  );
  return [...new Set(sentences)];
}

/**
 * Creates the error that lists problems, one per line if there are several.
 *
 * @param source Where the configuration comes from.
 * @param problems One sentence per problem.
 * @returns The error.
 */
export function configError(source: string, problems: readonly string[]): ConfigError {
  const list = problems.length === 1 ? ` ${problems[0]}` : `\n  - ${problems.join("\n  - ")}`;
  return new ConfigError(`Cannot use ${source}:${list}`);
}

function wrongValue(
  path: readonly string[],
  expects: string,
  input: unknown,
  label: KeyLabel,
): string {
  // Keys are at most two deep. Anything below is an index into a list, which is shown in full.
  const key = path.slice(0, 2);
  const value = key.reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], input);
  return `${key.length === 0 ? "it" : label(key.join("."))} is ${show(value)}, expected ${expects}`;
}

function unknownKey(key: string, known: readonly string[], label: KeyLabel): string {
  const meant = meantKey(key, known);
  return `unknown key ${label(key)}` +
    (meant === undefined ? "" : `, did you mean ${label(meant)}?`);
}

/** `lr` at the top or in a wrong section means the key of that name; else the nearest key. */
function meantKey(key: string, known: readonly string[]): string | undefined {
  const sections = new Set(known.filter((name) => name.includes(".")).map((name) => first(name)));
  const byName = new Map(known.map((name) => [last(name), name]));
  const exact = byName.get(last(key));
  if (exact !== undefined) return exact;
  const near = nearest(key, [...known, ...sections]);
  if (near !== undefined) return near;
  const nearName = nearest(last(key), byName.keys());
  return nearName === undefined ? undefined : byName.get(nearName);
}

function first(key: string): string {
  return key.slice(0, key.indexOf("."));
}

function last(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}

function show(value: unknown): string {
  const shown = asJson(value);
  return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
}

/** JSON, except for values it cannot express: NaN, Infinity, BigInt, cyclic objects. */
function asJson(value: unknown): string {
  if (typeof value === "number") return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Deno.inspect(value, { depth: 1 });
  }
}
