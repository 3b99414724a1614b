/** Judges a call's outcome: the right value, or an error that a user can act on. @module */

import * as remoe from "@remoe/remoe";
import { DataError } from "@remoe/remoe/data";
import { LogitsError } from "@remoe/remoe/generate";
import { DivergenceError } from "@remoe/remoe/train";
import { HostTensor } from "./entry.ts";
import { isPlain } from "./world.ts";

const OWN = [
  ...[remoe.ShapeMismatchError, remoe.ConfigError, remoe.LibraryError, remoe.DeviceError],
  ...[remoe.CheckpointError, remoe.FileError, DataError, LogitsError, DivergenceError],
];
const BUILT_IN = [Error, TypeError, RangeError, ReferenceError];

/** V8's messages for values of the wrong kind that start like our own messages. */
const RAW = /^Cannot ((read|set|destructure) propert|convert .+ (to|BigInt)|mix BigInt|.*private)/;

/** What is wrong with an error; null if nothing is. */
export function faultOfError(error: unknown): string | null {
  if (!(error instanceof Error)) return `threw ${Deno.inspect(error)}`;
  const said = `${error.name}: ${error.message}`;
  if (error instanceof remoe.DeviceError && /INTERNAL/.test(said)) return `damage: ${said}`;
  if (OWN.some((kind) => error instanceof kind)) {
    return error.message.length > 15 ? null : `an error that says too little: ${said}`;
  }
  const named = /^Cannot ./s.test(error.message) && !RAW.test(error.message);
  return BUILT_IN.some((kind) => error.constructor === kind) && named ? null : `raw error: ${said}`;
}

/** A result with every tensor read back. */
export async function readResult(value: unknown, depth = 0): Promise<unknown> {
  const given = await value;
  if (isTensor(given)) {
    const { dtype, shape } = given;
    return new HostTensor(dtype, [...shape], Array.from(await remoe.read(given)));
  }
  if (depth > 4) return given;
  if (Array.isArray(given)) return await Promise.all(given.map((v) => readResult(v, depth + 1)));
  if (!isPlain(given)) return given;
  const entries = Object.entries(given).map(async ([key, item]) =>
    [key, await readResult(item, depth + 1)] as const
  );
  return Object.fromEntries(await Promise.all(entries));
}

function isTensor(value: unknown): value is remoe.Tensor {
  return typeof value === "object" && value !== null && "dtype" in value && "shape" in value &&
    !(value instanceof HostTensor) && Symbol.dispose in value;
}

/**
 * Where a result differs from the right value; null if nowhere.
 *
 * @param given The call's result.
 * @param right The right value.
 * @param isNonFinite Whether an argument held non-finite numbers. These may spread further than
 * necessary, as from a masked token through 0 · NaN, but a finite number must not hide them.
 * @param at Where in the result.
 */
export function difference(
  given: unknown,
  right: unknown,
  isNonFinite = false,
  at = "result",
): string | null {
  if (right instanceof HostTensor) return tensorDifference(given, right, isNonFinite, at);
  if (typeof right === "number" && typeof given === "number") {
    const near = close(given, right, 2e-5) || (isNonFinite && !Number.isFinite(given));
    return near ? null : `${at} is ${given}, expected ${right}`;
  }
  const list = (value: unknown) => Array.isArray(value) || ArrayBuffer.isView(value);
  if (list(right) && list(given)) {
    const [a, b] = [Array.from(given as number[]), Array.from(right as number[])];
    if (a.length !== b.length) return `${at} has ${a.length} items, expected ${b.length}`;
    return first(b.map((item, i) => () => difference(a[i], item, isNonFinite, `${at}[${i}]`)));
  }
  if (isPlain(right) && typeof given === "object" && given !== null) {
    const fields = given as Record<string, unknown>;
    return first(
      Object.entries(right).map(([key, item]) => () =>
        difference(fields[key], item, isNonFinite, `${at}.${key}`)
      ),
    );
  }
  if (Object.is(given, right)) return null;
  return `${at} is ${Deno.inspect(given)}, expected ${Deno.inspect(right)}`;
}

function tensorDifference(
  given: unknown,
  right: HostTensor,
  isNonFinite: boolean,
  at: string,
): string | null {
  if (!(given instanceof HostTensor)) return `${at} is ${Deno.inspect(given)}, expected a tensor`;
  const [a, b] = [given, right].map(({ dtype, shape }) => `${dtype} [${shape}]`);
  if (a !== b) return `${at} is ${a}, expected ${b}`;
  const tolerance = right.dtype === "bf16" ? 1e-2 : 2e-5;
  const near = (a: number, b: number) =>
    close(a, b, tolerance) || (isNonFinite && !Number.isFinite(a));
  const wrong = right.data.findIndex((value, i) => !near(given.data[i]!, value));
  if (wrong < 0) return null;
  return `${at}[${wrong}] is ${given.data[wrong]}, expected ${right.data[wrong]}`;
}

function first(checks: readonly (() => string | null)[]): string | null {
  for (const check of checks) {
    const found = check();
    if (found !== null) return found;
  }
  return null;
}

/** Close in fp32, where numbers beyond its range are infinite. */
function close(a: number, b: number, tolerance: number): boolean {
  const rounded = Math.fround(b);
  if (Object.is(a, b) || a === b || a === rounded) return true;
  if (Number.isNaN(a) && Number.isNaN(b)) return true;
  return Math.abs(a - b) <= tolerance * (1 + Math.abs(b));
}
