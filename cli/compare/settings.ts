/**
 * Settings on a command line of `compare`: routers, variants and the grid of sweeps.
 *
 * @module
 */

import { CONFIG_KEYS } from "../../lib/config/schema.ts";
import { isRouterPath } from "../../lib/config/router_schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import { routerLabel } from "../../lib/moe/router_of.ts";
import { ROUTER_NAMES, type RouterName, type RouterPath } from "../../lib/moe/routers.ts";
import { nearest } from "../../lib/nearest.ts";

/** A configuration key and its value, as on a command line. */
export interface Setting {
  /** The dotted key. */
  readonly key: string;
  /** The value. */
  readonly value: string;
}

/** A router to compare, with its own settings. */
export interface Contender {
  /** Its name in the table. */
  readonly name: string;
  /** The router. */
  readonly router: RouterName | RouterPath;
  /** Its own settings. */
  readonly settings: readonly Setting[];
}

/** A cell of the grid formed by sweeps. */
export interface Cell {
  /** Like `experts=8 lr=0.001`; empty without sweeps. */
  readonly label: string;
  /** The cell's settings. */
  readonly settings: readonly Setting[];
}

/** Keys that `compare` sets itself, and the flags for them. */
export const OWN: Readonly<Record<string, string>> = {
  preset: "give --preset",
  seed: "give --seeds",
  steps: "give --steps",
  out: "give --out",
  threads: "give --jobs",
  "moe.router": "give --routers",
};

/**
 * Reads `key=value`. A key of `moe` may omit that prefix.
 *
 * @param flag The flag, for errors.
 * @param text What was written.
 * @param extra Dotted keys that routers from files have.
 * @returns The setting.
 * @throws {ConfigError} It is malformed, or the key is unknown or set by `compare` itself.
 */
export function parseSetting(flag: string, text: string, extra: readonly string[] = []): Setting {
  const [, written, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (written === undefined || value === undefined || value === "") {
    throw new ConfigError(
      `Cannot use ${flag} ${text}: expected KEY=VALUE, like optimizer.lr=0.002`,
    );
  }
  const known = [...CONFIG_KEYS.map(({ key }) => key), ...extra];
  const key = known.includes(`moe.${written}`) ? `moe.${written}` : written;
  const advice = Object.hasOwn(OWN, key) ? OWN[key] : undefined;
  if (advice !== undefined) throw new ConfigError(`Cannot use ${flag} ${text}: ${advice}`);
  if (!known.includes(key)) {
    const meant = nearest(key, known);
    const hint = meant === undefined ? "train --help lists the keys" : `did you mean ${meant}?`;
    throw new ConfigError(`Cannot use ${flag} ${text}: there is no key ${key}; ${hint}`);
  }
  return { key, value };
}

/**
 * Reads routers and variants.
 *
 * @param routers The value of `--routers`; undefined: not given.
 * @param variants The values of `--variant`.
 * @param absolute Makes the path of a router's file absolute.
 * @param extra Dotted keys that routers from files have.
 * @returns The routers to compare, in order; at least one.
 * @throws {ConfigError} A router is unknown, or two have the same name.
 */
export function parseContenders(
  routers: string | undefined,
  variants: readonly string[],
  absolute: (path: string) => string,
  extra: readonly string[] = [],
): Contender[] {
  const names = routers?.split(",").map((name) => name.trim()) ??
    (variants.length > 0 ? [] : ROUTER_NAMES);
  const plain = names.map((name): Contender => {
    const router = routerNamed(name, "--routers", absolute);
    return { name: routerLabel(router), router, settings: [] };
  });
  const all = [...plain, ...variants.map((text) => parseVariant(text, absolute, extra))];
  const doubled = all.find(({ name }, i) => all.findIndex((other) => other.name === name) < i);
  if (doubled !== undefined) {
    throw new ConfigError(
      `Two rows would be called ${doubled.name}: give one of them another name`,
    );
  }
  return all;
}

/** `NAME=ROUTER`, or with `:KEY=VALUE,KEY=VALUE`. */
function parseVariant(
  text: string,
  absolute: (path: string) => string,
  extra: readonly string[],
): Contender {
  const [, name, router, settings] = /^([^=:,\s]+)=([^=,]+?)(?::(.+))?$/s.exec(text) ?? [];
  if (name === undefined || router === undefined) {
    throw new ConfigError(
      `Cannot use --variant ${text}: expected NAME=ROUTER:KEY=VALUE,…, like ` +
        `${"topk2=topk:active=2,balance_coefficient=0.001"}`,
    );
  }
  return {
    name,
    router: routerNamed(router, `--variant ${name}`, absolute),
    settings: (settings?.split(",") ?? [])
      .map((each) => parseSetting(`--variant ${name}`, each.trim(), extra)),
  };
}

function routerNamed(
  name: string,
  flag: string,
  absolute: (path: string) => string,
): RouterName | RouterPath {
  if (isRouterPath(name)) return absolute(name) as RouterPath;
  if (ROUTER_NAMES.includes(name as RouterName)) return name as RouterName;
  const meant = nearest(name, ROUTER_NAMES);
  throw new ConfigError(
    `${flag} names the router ${name === "" ? "of no name" : name}, expected ` +
      `${ROUTER_NAMES.join(", ")}, or a file that ends in .ts` +
      (meant === undefined ? "" : `; did you mean ${meant}?`),
  );
}

/**
 * Builds the grid of the sweeps.
 *
 * @param sweeps The values of `--sweep`.
 * @param extra Dotted keys that routers from files have.
 * @returns The cells, the last sweep varying fastest; one without settings if there are no sweeps.
 * @throws {ConfigError} A sweep is malformed, of an unknown key, or names a key or a value twice.
 */
export function parseGrid(sweeps: readonly string[], extra: readonly string[] = []): Cell[] {
  const seen = new Set<string>();
  let cells: Cell[] = [{ label: "", settings: [] }];
  for (const sweep of sweeps) {
    const { key, value } = parseSetting("--sweep", sweep, extra);
    if (seen.has(key)) throw new ConfigError(`Cannot use --sweep ${sweep}: ${key} is swept twice`);
    seen.add(key);
    const values = value.split(",").map((text) => text.trim());
    if (values.includes("") || new Set(values).size < values.length) {
      throw new ConfigError(`Cannot use --sweep ${sweep}: expected different values with commas`);
    }
    const short = key.slice(key.lastIndexOf(".") + 1);
    cells = cells.flatMap(({ label, settings }) =>
      values.map((each) => ({
        label: `${label} ${short}=${each}`.trim(),
        settings: [...settings, { key, value: each }],
      }))
    );
  }
  return cells;
}
