/**
 * Schemas of a router's settings, derived from its row.
 *
 * @module
 */

import { z } from "zod";
import type { RouterFile } from "../moe/router_file.ts";
import { follows, type NumberKey, type RouterKey } from "../moe/router_keys.ts";
import { ROUTER_NAMES, type RouterName, type RouterPath } from "../moe/routers.ts";
import { flag, leaf, number, oneOf, orAuto, whole } from "./leaves.ts";

/** Names of files that can hold a router's row. */
const ROUTER_FILE_NAME = /^[^\0]*\.m?[jt]s$/;

/**
 * Tells whether a value names a router file rather than a router of the library.
 *
 * @param router The value.
 * @returns True for paths such as `./router.ts`.
 */
export function isRouterPath(router: unknown): router is RouterPath {
  return typeof router === "string" && ROUTER_FILE_NAME.test(router);
}

/** The name of a router, or the path of a router file. */
export function routerName(description: string): z.ZodType<RouterName | RouterPath> {
  const expects = `one of ${ROUTER_NAMES.join(", ")}, or a file like ./router.ts`;
  const isKnown = (value: unknown): boolean =>
    ROUTER_NAMES.includes(value as RouterName) || isRouterPath(value);
  const schema = z.custom<RouterName | RouterPath>(isKnown, { error: expects });
  return leaf(schema, expects, description);
}

/** Builds the schemas of a row's keys. */
export function routerLeaves<Name extends string>(
  keys: Readonly<Record<Name, RouterKey>>,
): Record<Name, z.ZodType> {
  const leaves = Object.entries<RouterKey>(keys).map(([name, key]) => [name, leafOf(key)]);
  return Object.fromEntries(leaves) as Record<Name, z.ZodType>;
}

function leafOf(key: RouterKey): z.ZodType {
  if (follows(key)) {
    const { default: { of, dividedBy }, about } = key;
    return orAuto(number(key as NumberKey, about), `${of} / ${dividedBy}`);
  }
  switch (key.type) {
    case "number":
      return number(key, key.about);
    case "whole":
      return whole(key.least, key.about, key.most);
    case "choice":
      return oneOf(key.values, key.about);
    case "flag":
      return flag(key.about);
  }
}

const about = z.string();
const bound = z.number().optional();
const fraction = z.strictObject({ of: z.string(), dividedBy: z.number().gt(0) });
const bounds = { above: bound, least: bound, below: bound, most: bound };

/** Definition of a setting in a file's row. */
const KEY: z.ZodType<RouterKey> = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("number"),
    ...bounds,
    default: z.union([z.number(), fraction]),
    about,
  }),
  z.strictObject({
    type: z.literal("whole"),
    least: z.int(),
    most: z.int().optional(),
    default: z.int(),
    about,
  }),
  z.strictObject({
    type: z.literal("choice"),
    values: z.array(z.string()).min(1),
    default: z.string(),
    about,
  }),
  z.strictObject({ type: z.literal("flag"), default: z.boolean(), about }),
]) as unknown as z.ZodType<RouterKey>;

/** The properties of a row that are not functions. */
const TRAITS = {
  about: z.string(),
  causal: z.boolean(),
  draws: z.boolean(),
  exact: z.boolean(),
  lambda: z.boolean(),
  loss: z.strictObject({ name: z.string(), about, figure: z.enum(["l1", "balance"]) }).nullable(),
  keys: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), KEY),
};

const FUNCTIONS = ["adapts", "activeFrom", "weights", "problems", "notices", "starving"] as const;
const aFunction = z.custom((value) => typeof value === "function", { error: "a function" });

/** The default export of a router's file. */
export const ROUTER_ROW: z.ZodType = z.strictObject({
  ...z.object(TRAITS).partial().shape,
  ...Object.fromEntries(FUNCTIONS.map((name) => [name, aFunction.optional()])),
  build: aFunction,
});

const FILE = z.strictObject({
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  routed: z.literal(true),
  ...TRAITS,
  adapts: z.boolean(),
  active_from: z.array(z.strictObject({ from: z.int().min(0), most: z.number().gt(0) })).min(1),
  weights: z.int().min(0),
});

/** A router file's description in a configuration. Nobody writes it, so the help leaves it out. */
export function routerFile(): z.ZodType<RouterFile> {
  const error = "what loadRouter() read in the router's file";
  return z.custom<RouterFile>((value) => FILE.safeParse(value).success, { error });
}

/**
 * Extracts the description of the router file from a configuration.
 *
 * @param input Any value.
 * @returns The description; undefined if it is invalid or the router is not a file.
 */
export function routerFileOf(input: unknown): RouterFile | undefined {
  const moe = (input as { readonly moe?: Readonly<Record<string, unknown>> } | null | undefined)
    ?.moe;
  const file = FILE.safeParse(moe?.["router_file"]);
  return file.success ? file.data as RouterFile : undefined;
}
