/**
 * Checks of arguments: Deno runs TypeScript without checking its types, and JavaScript calls too.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/**
 * Shows a value in a message, whatever it is.
 *
 * @param value Any value.
 * @returns It, in short.
 */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const text = Deno.inspect(value, { depth: 0, iterableLimit: 3, strAbbreviateSize: 40 });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * A list of the caller's as it is now, read once and by index, as checks read it: an iterator of its
 * own, a getter or a later change may say something else.
 *
 * @param list The caller's.
 * @returns A plain array; undefined where the list has a hole.
 */
export function ownList<T>(list: ArrayLike<T>): T[] {
  const { length } = list;
  const own: T[] = [];
  for (let i = 0; i < length; i++) own.push(list[i]!);
  return own;
}

/** Bounds of a whole number, both of which it may be. */
export interface WholeRange {
  /** Default 0. */
  readonly least?: number;
  /** Default the largest integer that a number holds exactly. */
  readonly most?: number;
}

/** Sizes cross to the kernels as int32. */
export const LARGEST_SIZE: number = 2 ** 31 - 1;

/**
 * Refuses what is not a whole number in a range.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @param range Least and most; default from 0 on.
 * @throws {RangeError} If it is none.
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

/** Bounds of a finite number. */
export interface NumberRange {
  /** Inclusive lower bound. Default none. */
  readonly least?: number;
  /** Exclusive lower bound. Default none. */
  readonly above?: number;
  /** Exclusive upper bound. Default none. */
  readonly below?: number;
}

/** Whether a value is a finite number in a range. */
function isFiniteIn(
  value: unknown,
  { least = -Infinity, above = -Infinity, below = Infinity }: NumberRange,
): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= least && value > above &&
    value < below;
}

/** `a finite number of at least 0 and below 1`. */
function finiteNumber({ least, above, below }: NumberRange): string {
  const bounds = [
    ...(least === undefined ? [] : [`of at least ${least}`]),
    ...(above === undefined ? [] : [`above ${above}`]),
    ...(below === undefined ? [] : [`below ${below}`]),
  ];
  return bounds.length === 0 ? "a finite number" : `a finite number ${bounds.join(" and ")}`;
}

/**
 * Refuses anything but a finite number in a range.
 *
 * @param operation What was attempted, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @param range Its bounds. Default none.
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
 * Refuses what is not a number; infinities and NaN are numbers.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @throws {TypeError} If it is none.
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
 * Refuses what is not one of a few values.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @param allowed The values.
 * @throws {TypeError} If it is none of them.
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
 * Refuses anything but true or false.
 *
 * @param operation What was attempted, to follow "Cannot".
 * @param name The argument.
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
 * Refuses what is not a text.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @throws {TypeError} If it is none.
 */
export function requireText(
  operation: string,
  name: string,
  value: unknown,
): asserts value is string {
  if (typeof value === "string") return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a text`);
}

/**
 * Refuses what is no object with named values.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @throws {TypeError} If it is none.
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
 * Refuses what can name no file or folder; the system would refuse a character of value 0 in a way
 * that names none.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @throws {TypeError} If it is no path.
 */
export function requirePath(
  operation: string,
  name: string,
  value: unknown,
): asserts value is string {
  // Half a surrogate pair would reach the system as U+FFFD, in the name of another file.
  const isName = typeof value === "string" && value !== "" && !value.includes("\0");
  if (isName && value.isWellFormed()) return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a path`);
}

/** A class, whose constructor may be private. */
interface Kind<T> {
  readonly name: string;
  readonly prototype: T;
  [Symbol.hasInstance](value: unknown): boolean;
}

/**
 * Refuses what is not of a class.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @param kind The class.
 * @throws {TypeError} If it is none of it.
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

/** The names of all options of a call; the compiler asks for each. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/**
 * Refuses options that are no object, and in a plain object those that nobody reads.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param value The options.
 * @param names The options that there are. Default any.
 * @throws {TypeError} If they are no object.
 * @throws {ConfigError} If one has a name that none has; names the nearest.
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

/** Objects of a class may have fields of their own beside those that are options. */
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

/**
 * Refuses what cannot be called.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param name The argument.
 * @param value Its value.
 * @throws {TypeError} If it is no function.
 */
export function requireFunction(operation: string, name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`Cannot ${operation}: ${name} is ${shown(value)}, expected a function`);
}

/**
 * Refuses sizes of something to be made that are not whole numbers from 1 to 2³¹ - 1.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param sizes The sizes, by their names.
 * @throws {ConfigError} Names the first that is none.
 */
export function requireSizes(operation: string, sizes: Readonly<Record<string, unknown>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isInteger(size) && (size as number) >= 1 && (size as number) <= LARGEST_SIZE) {
      continue;
    }
    throw new ConfigError(
      `Cannot ${operation}: ${name} is ${shown(size)}, expected a whole number from 1 to ` +
        `${LARGEST_SIZE}`,
    );
  }
}

/**
 * Refuses settings of something to be made that are not finite numbers in a range. Kernels compute
 * in fp32, where 1e-60 is 0 and 1e300 is infinite: what they will read must lie in it as well.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param numbers The settings, by their names.
 * @param range Their bounds.
 * @throws {ConfigError} Names the first that is none.
 */
export function requireNumbers(
  operation: string,
  numbers: Readonly<Record<string, unknown>>,
  range: NumberRange = {},
): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (isFiniteIn(value, range) && isFiniteIn(Math.fround(value), range)) continue;
    throw new ConfigError(
      `Cannot ${operation}: ${name} is ${shown(value)}, expected ${finiteNumber(range)} in fp32`,
    );
  }
}
