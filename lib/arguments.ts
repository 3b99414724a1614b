/**
 * Run-time checks of arguments: Deno strips types without checking them, and plain JavaScript can
 * call the library too.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { finiteNumber, isFiniteIn, type NumberRange } from "./number_range.ts";

/**
 * Formats any value for an error message.
 *
 * @param value The value.
 * @returns At most 80 characters.
 */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const text = Deno.inspect(value, { depth: 0, iterableLimit: 3, strAbbreviateSize: 40 });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * Copies a caller's list by index, reading each element once. The values checked must be the values
 * used: a custom iterator, a getter or a later mutation could yield others.
 *
 * @param list The caller's list.
 * @returns A plain array; holes become undefined.
 */
export function ownList<T>(list: ArrayLike<T>): T[] {
  const { length } = list;
  const own: T[] = [];
  for (let i = 0; i < length; i++) own.push(list[i]!);
  return own;
}

/** Inclusive bounds of an integer. */
export interface WholeRange {
  /** Lower bound. Default 0. */
  readonly least?: number;
  /** Upper bound. Default the largest safe integer. */
  readonly most?: number;
}

/** Sizes cross to the kernels as int32. */
export const LARGEST_SIZE: number = 2 ** 31 - 1;

/**
 * Throws unless a value is an integer in a range.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @param range Bounds. Default from 0.
 * @throws {RangeError} If the check fails.
 */
export function requireWhole(
  operation: string,
  name: string,
  value: unknown,
  { least = 0, most = Number.MAX_SAFE_INTEGER }: WholeRange = {},
): asserts value is number {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) {
    return;
  }
  const to = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new RangeError(
    `Cannot ${operation}: ${name} is ${shown(value)}, expected a whole number ${to}`,
  );
}

/**
 * Throws unless a value is a finite number in a range.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @param range Bounds. Default none.
 * @throws {RangeError} If the check fails.
 */
export function requireFinite(
  operation: string,
  name: string,
  value: unknown,
  range: NumberRange = {},
): asserts value is number {
  if (isFiniteIn(value, range)) return;
  throw new RangeError(
    `Cannot ${operation}: ${name} is ${shown(value)}, expected ${finiteNumber(range)}`,
  );
}

/**
 * Throws unless a value is a number. Infinities and NaN pass.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requireNumber(
  operation: string,
  name: string,
  value: unknown,
): asserts value is number {
  if (typeof value === "number") return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a number`);
}

/**
 * Throws unless a value is one of a few.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @param allowed The accepted values.
 * @throws {TypeError} If the check fails.
 */
export function requireOneOf(
  operation: string,
  name: string,
  value: unknown,
  allowed: readonly unknown[],
): void {
  if (allowed.includes(value)) return;
  throw new TypeError(
    `Cannot ${operation}: ${name} is ${shown(value)}, expected ${allowed.map(shown).join(" or ")}`,
  );
}

/**
 * Throws unless a value is true or false.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requireFlag(
  operation: string,
  name: string,
  value: unknown,
): asserts value is boolean {
  requireOneOf(operation, name, value, [true, false]);
}

/**
 * Throws unless a value is a string.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requireText(
  operation: string,
  name: string,
  value: unknown,
): asserts value is string {
  if (typeof value === "string") return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a string`);
}

/**
 * Throws unless a value is an object other than an array.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requireObject(
  operation: string,
  name: string,
  value: unknown,
): asserts value is object {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected an object`);
}

/**
 * Throws unless a value can name a file or folder. NUL characters are caught here because the
 * system's own error would not name the path.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requirePath(
  operation: string,
  name: string,
  value: unknown,
): asserts value is string {
  // A lone surrogate would reach the system as U+FFFD and name another file.
  const isName = typeof value === "string" && value !== "" && !value.includes("\0");
  if (isName && value.isWellFormed()) return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a path`);
}

/** A class; its constructor may be private. */
interface Kind<T> {
  readonly name: string;
  readonly prototype: T;
  [Symbol.hasInstance](value: unknown): boolean;
}

/**
 * Throws unless a value is an instance of a class.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @param kind The class.
 * @throws {TypeError} If the check fails.
 */
export function requireInstance<T>(
  operation: string,
  name: string,
  value: unknown,
  kind: Kind<T>,
): asserts value is T {
  if (kind[Symbol.hasInstance](value)) return;
  const article = /^[AEIOU]/.test(kind.name) ? "an" : "a";
  throw new TypeError(
    `Cannot ${operation}: ${name} is ${shown(value)}, expected ${article} ${kind.name}`,
  );
}

/**
 * Throws unless a value can be called.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param name The argument's name.
 * @param value Its value.
 * @throws {TypeError} If the check fails.
 */
export function requireFunction(operation: string, name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a function`);
}

/** The names of a call's options; the compiler demands all of them. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/**
 * Throws unless options are an object; in a plain object every key must be a known option.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param value The options.
 * @param names The known options. Default any.
 * @throws {TypeError} If the options are not an object.
 * @throws {ConfigError} If an option is unknown; the message suggests the nearest name.
 */
export function requireOptions<T>(
  operation: string,
  value: T,
  names?: OptionNames<T>,
): asserts value is T & object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(
      `Cannot ${operation}: its options are ${shown(value)}, expected an object`,
    );
  }
  if (names === undefined || !isPlain(value)) return;
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(names, name)) throw unknownOption(operation, name, Object.keys(names));
  }
}

/** Class instances may carry fields that are not options. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function unknownOption(operation: string, name: string, names: readonly string[]): ConfigError {
  const meant = nearest(name, names);
  const remedy = meant === undefined
    ? `its options are ${names.join(", ")}`
    : `did you mean ${meant}?`;
  return new ConfigError(`Cannot ${operation}: there is no option ${shown(name)}; ${remedy}`);
}
