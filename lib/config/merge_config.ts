/**
 * Merges layers of configuration: preset, file, flags.
 *
 * @module
 */

import { follows } from "../moe/router_keys.ts";
import { ROUTER_KEYS } from "../moe/routers.ts";
import type { ConfigLayer } from "./config.ts";
import { type RouterModule, specFor } from "./load_router.ts";
import { BASE } from "./presets.ts";

type Section = "model" | "moe" | "data";

/** A key and those that it is derived from. */
interface FollowingKey {
  readonly key: readonly [Section, string];
  readonly from: readonly (readonly [Section, string])[];
}

/**
 * Keys derived from others unless set: a layer that changes one of the sources does not inherit
 * them. Otherwise `--batch 8` over a file with micro-batches of 16 would fail, and doubling the
 * hidden size would keep the old width of the experts.
 */
const FOLLOWS: readonly FollowingKey[] = [
  { key: ["model", "ffn"], from: [["model", "hidden"]] },
  { key: ["model", "init_std"], from: [["model", "hidden"]] },
  { key: ["moe", "router_std"], from: [["model", "hidden"], ["model", "init_std"]] },
  { key: ["model", "vocabulary"], from: [["data", "tokenizer"]] },
  { key: ["data", "tokenizer_file"], from: [["data", "tokenizer"]] },
  ...Object.entries(ROUTER_KEYS).flatMap(([name, key]) =>
    follows(key)
      ? [{ key: ["moe", name], from: [["moe", key.default.of]] } satisfies FollowingKey]
      : []
  ),
  { key: ["data", "micro_batch"], from: [["data", "batch"], ["data", "sequence"]] },
];

/** A dense model has one expert, so these carry over only between routers of one kind. */
const SIZES: readonly string[] = [
  ...["experts", "active", "granularity", "shared"],
  ...["shared_ffn", "shared_gate", "dense_layers", "dense_ffn"],
];

/**
 * Merges layers. For each key the last layer that sets it wins; `data.weights` is merged per
 * domain.
 *
 * A layer that changes the sources of a derived key does not inherit that key. A layer that turns a
 * routed model dense, or a dense one routed, does not inherit `experts`, `active`,
 * `granularity` and the keys of shared experts and dense layers. A layer that changes the router does not inherit the keys that only
 * the previous router reads.
 *
 * @param layers Checked layers, lowest first.
 * @param loaded The router file that they name, if any.
 * @returns The merged layer.
 * @throws {ConfigError} If they name a router file that has not been loaded.
 */
export function mergeConfigLayers(
  layers: readonly ConfigLayer[],
  loaded?: RouterModule,
): ConfigLayer {
  return layers.reduce<ConfigLayer>((base, above) => overlay(base, above, loaded), {});
}

/**
 * Drops keys whose value is undefined, which count as not set.
 *
 * @param group A layer or a section of one.
 * @returns A copy without them.
 */
export function defined(group: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined));
}

/**
 * Merges two layers, or parts of them, recursively; values of the upper one win.
 *
 * @param below The lower layer.
 * @param above The upper layer; undefined values count as not set.
 * @returns The merged layer.
 */
export function joinLayers<Part extends object>(below: Part, above: Part): Part {
  const joined = { ...below } as Record<string, unknown>;
  for (const [key, value] of Object.entries(defined(above))) {
    // A domain may be named after a property that every object inherits.
    const under = Object.hasOwn(joined, key) ? joined[key] : {};
    const isWhole = !isSection(value) || key === "router_file" || key === "tokenizer_file";
    joined[key] = isWhole ? value : joinLayers(isSection(under) ? under : {}, value);
  }
  return joined as Part;
}

function overlay(base: ConfigLayer, above: ConfigLayer, loaded?: RouterModule): ConfigLayer {
  return joinLayers(withoutStale(base, above, loaded), above);
}

/** The lower layer without the keys that the upper one makes obsolete. */
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

/** Keys that belong to the lower layer's router, if the upper layer names another. */
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
