/**
 * Zod schemas of a configuration's values. Every leaf carries a description of what it expects,
 * which is used in both errors and help.
 *
 * @module
 */

import { z } from "zod";

/** Metadata that {@linkcode leaf} attaches to a schema. */
export interface Leaf {
  meta(): { description?: string; expects?: string } | undefined;
}

/** Attaches the texts to a schema. */
export function leaf<Schema extends z.ZodType>(
  schema: Schema,
  expects: string,
  description: string,
): Schema {
  return schema.meta({ description, expects });
}

/** A whole number, 32-bit by default, since sizes are passed to the kernels as int32. */
export function whole(min: number, description: string, max = 2 ** 31 - 1): z.ZodNumber {
  const expects = max === 2 ** 31 - 1
    ? `a whole number of at least ${min}`
    : `a whole number from ${min} to ${max}`;
  const error = { error: expects };
  return leaf(z.number(error).int(error).min(min, error).max(max, error), expects, description);
}

/** Bounds of a number; at least 0 if neither lower bound is given. */
export interface Bounds {
  readonly above?: number;
  readonly least?: number;
  readonly below?: number;
  readonly most?: number;
}

/** A finite number within bounds. */
export function number({ above, least, below, most }: Bounds, description: string): z.ZodNumber {
  const lower = above !== undefined ? `above ${above}` : `of at least ${least ?? 0}`;
  const upper = below !== undefined
    ? ` and below ${below}`
    : most !== undefined
    ? ` and at most ${most}`
    : "";
  const expects = `a number ${lower}${upper}`;
  const error = { error: expects };
  let schema = z.number(error);
  schema = above !== undefined ? schema.gt(above, error) : schema.gte(least ?? 0, error);
  if (below !== undefined) schema = schema.lt(below, error);
  if (most !== undefined) schema = schema.lte(most, error);
  return leaf(schema, expects, description);
}

/** One of several names. */
export function oneOf<const Value extends string>(
  values: readonly Value[],
  description: string,
): z.ZodType<Value> {
  const expects = values.length === 1 ? `"${values[0]}"` : `one of ${values.join(", ")}`;
  return leaf(z.enum(values, { error: expects }), expects, description);
}

/** The same leaf, which also accepts null; `absent` says what null stands for. */
export function orNull<Schema extends z.ZodType>(
  schema: Schema,
  absent: string,
): z.ZodType<z.output<Schema> | null> {
  const { expects, description } = (schema as Leaf).meta() ?? {};
  const either = `${expects ?? ""}, or null for ${absent}`;
  const fits = (value: unknown): boolean => value === null || schema.safeParse(value).success;
  return leaf(
    z.custom<z.output<Schema> | null>(fits, { error: either }),
    either,
    description ?? "",
  );
}

/** True or false. */
export function flag(description: string): z.ZodType<boolean> {
  return leaf(z.boolean({ error: "true or false" }), "true or false", description);
}

/** Any well-formed text. */
export function text(description: string): z.ZodType<string> {
  const whole = "a text without half a surrogate pair, which UTF-8 cannot hold";
  const schema = z.string({ error: "a text" }).regex(/^\P{Surrogate}*$/u, { error: whole });
  return leaf(schema, "a text", description);
}

/** A path or null; `absent` says what null stands for. */
export function path(absent: string, description: string): z.ZodType<string | null> {
  const error = { error: `a path, or null for ${absent}` };
  return leaf(pathText(error).nullable(), error.error, description);
}

/** File systems allow no NUL in names, and UTF-8 no lone surrogate. */
function pathText(error: { readonly error: string }): z.ZodString {
  return z.string(error).min(1, error).regex(/^[^\0\p{Surrogate}]*$/u, error);
}

/** Numbers of at least 0 by name. */
export function weights(description: string): z.ZodType<Record<string, number>> {
  const error = { error: "numbers of at least 0 by domain, like books=2" };
  const schema = z.record(z.string().min(1, error), z.number(error).gte(0, error), error);
  return leaf(schema, error.error, description);
}

/** GiB of device memory, or null. */
export function memoryLimit(): z.ZodType<number | null> {
  const error = { error: "a number of GiB above 0, or null for 85 % of the device's memory" };
  const schema = z.number(error).gt(0, error).nullable();
  return leaf(schema, error.error, "GiB of device memory that the run may take");
}

/** A list of paths. */
export function paths(description: string): z.ZodType<string[]> {
  const error = { error: "a list of paths" };
  return leaf(z.array(pathText(error), error), error.error, description);
}

/** A list of layers by number, each once, in ascending order. */
export function layerList(description: string): z.ZodType<number[]> {
  const error = { error: "a list of layers from 0, each once, in ascending order" };
  const schema = z.array(z.int(error).min(0, error).max(9_999, error), error)
    .refine((list) => list.every((layer, i) => i === 0 || list[i - 1]! < layer), error);
  return leaf(schema, error.error, description);
}

/** Marks derived keys in the description of what they expect. */
export const OR_AUTO = ', or "auto"';

/** The same leaf, which also accepts `"auto"` for the value derived from other keys. */
export function orAuto<Value>(schema: z.ZodType<Value>, rule: string): z.ZodType<Value | "auto"> {
  const { expects, description } = (schema as Leaf).meta() ?? {};
  const either = `${expects ?? ""}${OR_AUTO} (${rule})`;
  return leaf(z.union([schema, z.literal("auto")], { error: either }), either, description ?? "");
}

/** A group of keys; unknown keys are errors. */
export function section<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => issue.code === "invalid_type" ? "a group of keys" : undefined,
  });
}
