/**
 * Layers of configuration on top of each other: preset, file, flags.
 *
 * @module
 */

import { follows } from "../moe/router_keys.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";
import type { ConfigLayer } from "./config.ts";
import { type RouterModule, specFor } from "./load_router.ts";
import { BASE } from "./presets.ts";

type Section = "model" | "moe" | "data";

/** A key, and those that it follows from. */
interface FollowingKey {
  readonly key: readonly [Section, string];
  readonly from: readonly (readonly [Section, string])[];
}

/**
 * Values that follow from others unless they are named: a layer that changes one of the sources
 * does not inherit them. Otherwise `--batch 8` over a file with micro-batches of 16 would fail,
 * and twice the hidden size would keep the old width of the experts.
 */
const FOLLOWS: readonly FollowingKey[] = [
  { key: ["model", "ffn"], from: [["model", "hidden"]] },
  { key: ["model", "init_std"], from: [["model", "hidden"]] },
  { key: ["model", "vocabulary"], from: [["data", "tokenizer"]] },
  ...Object.entries(ROUTER_KEYS).flatMap(([name, key]) =>
    follows(key)
      ? [{ key: ["moe", name], from: [["moe", key.default.of]] } satisfies FollowingKey]
      : []
  ),
  { key: ["data", "micro_batch"], from: [["data", "batch"], ["data", "sequence"]] },
];

/** A dense model has one expert: these make sense for one kind of router only. */
const SIZES: readonly string[] = ["experts", "active", "granularity"];

/**
 * Puts layers on top of each other: of each key, the last layer that names it counts.
 *
 * What follows from other keys is not inherited by a layer that changes those, and a layer that
 * turns a routed model dense, or a dense one routed, does not inherit `experts`, `active` and
 * `granularity`. A layer that changes the router does not inherit what only the other one reads.
 *
 * @param layers Checked layers, lowest first.
 * @param loaded The router of a file that they name.
 * @returns One layer.
 * @throws {ConfigError} They name the file of a router that has not been loaded.
 */
export function mergeConfigLayers(
  layers: readonly ConfigLayer[],
  loaded?: RouterModule,
): ConfigLayer {
  return layers.reduce<ConfigLayer>((base, above) => overlay(base, above, loaded), {});
}

/**
 * Drops the keys that are undefined, which count as not given.
 *
 * @param group A layer or a section of one.
 * @returns A copy without them.
 */
export function defined(group: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined));
}

function overlay(base: ConfigLayer, above: ConfigLayer, loaded?: RouterModule): ConfigLayer {
  const inherited = withoutStale(base, above, loaded);
  const merged: Record<string, unknown> = { ...inherited };
  for (const [key, value] of Object.entries(defined(above))) {
    const below = inherited[key as keyof ConfigLayer];
    merged[key] = isSection(value) && isSection(below)
      ? { ...below, ...defined(value) }
      : isSection(value)
      ? defined(value)
      : value;
  }
  return merged as ConfigLayer;
}

/** The lower layer without what the upper one makes obsolete. */
function withoutStale(base: ConfigLayer, above: ConfigLayer, loaded?: RouterModule): ConfigLayer {
  const stale = new Set([
    ...FOLLOWS
      .filter(({ from }) => from.some(([section, key]) => changes(base, above, section, key)))
      .map(({ key }) => key.join(".")),
    ...staleRouterKeys(base, above, loaded),
  ]);
  if (stale.size === 0) return base;
  return Object.fromEntries(
    Object.entries(base).map(([section, value]) => [
      section,
      isSection(value)
        ? Object.fromEntries(
          Object.entries(value).filter(([key]) => !stale.has(`${section}.${key}`)),
        )
        : value,
    ]),
  );
}

/** What belongs to the lower layer's router, where the upper one names another. */
function staleRouterKeys(base: ConfigLayer, above: ConfigLayer, loaded?: RouterModule): string[] {
  const now = above.moe?.router;
  const before = base.moe?.router ?? BASE.moe.router;
  if (now === undefined || now === before) return [];
  const spec = specFor({ ...above.moe, router: now }, loaded);
  const isSame = spec.routed === specFor({ ...base.moe, router: before }, loaded).routed;
  return Object.keys(base.moe ?? {})
    .filter((key) => SIZES.includes(key) ? !isSame : !(key in spec.keys))
    .map((key) => `moe.${key}`);
}

function changes(base: ConfigLayer, above: ConfigLayer, section: Section, key: string): boolean {
  const now = valueOf(above, section, key);
  const before = valueOf(base, section, key) ?? valueOf(BASE, section, key);
  return now !== undefined && now !== before;
}

function valueOf(layer: Pick<ConfigLayer, Section>, section: Section, key: string): unknown {
  return (layer[section] as Record<string, unknown> | undefined)?.[key];
}

function isSection(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
