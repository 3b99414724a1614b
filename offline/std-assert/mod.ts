// deno-lint-ignore-file no-explicit-any -- as in the signatures of the original
/**
 * Stand-in for `@std/assert`.
 *
 * @module
 */

import { inspect } from "node:util";
import { equal } from "./equal.ts";

export { equal };

/** An assertion does not hold. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Asserts that a value is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Asserts that a value is falsy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is false {
  if (expr) throw new AssertionError(msg);
}

/** Asserts deep equality. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) failWith(`Values are not equal`, msg, actual, expected);
}

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) {
    failWith(`Expected actual: ${show(actual)} not to be: ${show(expected)}`, msg);
  }
}

/** Asserts that two values are the same (`Object.is`). */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (!Object.is(actual, expected)) {
    failWith("Values are not strictly equal", msg, actual, expected);
  }
}

/** Asserts that two values are not the same (`Object.is`). */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (Object.is(actual, expected)) failWith(`Expected "actual" not to be strictly equal`, msg);
}

/** Asserts that two numbers differ by at most an absolute tolerance, default 1e-7 of expected. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance = Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const delta = Math.abs(expected - actual);
  if (delta <= tolerance) return;
  failWith(
    `Expected actual: "${actual}" to be close to "${expected}": ` +
      `delta "${delta}" is greater than "${tolerance}"`,
    msg,
  );
}

/** Asserts `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) failWith(`Expect ${show(actual)} > ${show(expected)}`, msg);
}

/** Asserts `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) failWith(`Expect ${show(actual)} >= ${show(expected)}`, msg);
}

/** Asserts `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) failWith(`Expect ${show(actual)} < ${show(expected)}`, msg);
}

/** Asserts `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) failWith(`Expect ${show(actual)} <= ${show(expected)}`, msg);
}

/** Asserts that a value is neither null nor undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    failWith(`Expected actual: "${actual}" to not be null or undefined`, msg);
  }
}

/** Asserts that a text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    failWith(`Expected actual: "${actual}" to contain: "${expected}"`, msg);
  }
}

/** Asserts that an array contains equals of all the expected values. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  msg?: string,
): void {
  const values = Array.from(actual);
  const missing = Array.from(expected).filter((item) => !values.some((it) => equal(it, item)));
  if (missing.length > 0) {
    failWith(`Expected actual: ${show(actual)} to include: ${show(expected)}`, msg);
  }
}

/** Asserts that a text matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) {
    failWith(`Expected actual: "${actual}" to match: "${expected}"`, msg);
  }
}

/** Asserts that a text does not match. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) {
    failWith(`Expected actual: "${actual}" to not match: "${expected}"`, msg);
  }
}

/** Asserts that an object has all keys of another, with equal values, to any depth. */
export function assertObjectMatch(
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  if (!matches(actual, expected)) failWith("Values are not equal", msg, actual, expected);
}

/** Asserts that a value is an instance of a class. */
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) {
    failWith(
      `Expected object to be an instance of "${expectedType.name}" but was ${show(actual)}`,
      msg,
    );
  }
}

/** Asserts that a value is an error, of a class, with a text in its message. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    failWith(`Expected "error" to be an Error object`, msg);
  }
  if (ErrorClass && !(error instanceof ErrorClass)) {
    failWith(
      `Expected error to be instance of "${ErrorClass.name}", but was ` +
        `"${(error as Error).constructor.name}": ${(error as Error).message}`,
      msg,
    );
  }
  const { message } = error as Error;
  const found = msgMatches instanceof RegExp
    ? msgMatches.test(message)
    : message.includes(msgMatches ?? "");
  if (!found) {
    failWith(`Expected error message to include "${msgMatches}", but got "${message}"`, msg);
  }
}

/** Asserts that a function throws; returns what. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that a function throws an error of a class, with a text in its message; returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(fn: () => unknown, ...expected: any[]): unknown {
  let error: unknown;
  try {
    fn();
  } catch (thrown) {
    error = thrown;
    return checkThrown(error, expected);
  }
  failWith("Expected function to throw", messageOf(expected));
}

/** Asserts that a promise rejects; returns the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Asserts that a promise rejects with an error of a class and a text in its message. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  ...expected: any[]
): Promise<unknown> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (thrown) {
    if (thrown instanceof AssertionError) throw thrown;
    failWith("Function throws when expected to reject", messageOf(expected));
  }
  try {
    await promise;
  } catch (reason) {
    return checkThrown(reason, expected);
  }
  failWith("Expected function to reject", messageOf(expected));
}

/** Fails. */
export function fail(msg?: string): never {
  failWith("Failed assertion", msg);
}

/** Fails where code is reached that must not be. */
export function unreachable(msg?: string): never {
  failWith("Unreachable", msg);
}

function checkThrown(error: unknown, expected: any[]): unknown {
  const [ErrorClass, includes, msg] = expected;
  if (typeof ErrorClass === "function") {
    if (!(error instanceof Error)) failWith("A non-Error object was thrown", msg);
    assertIsError(error, ErrorClass, includes, msg);
  }
  return error;
}

function messageOf(expected: any[]): string | undefined {
  return typeof expected[0] === "string" ? expected[0] : expected[2];
}

function matches(actual: any, expected: any): boolean {
  if (typeof expected !== "object" || expected === null) return equal(actual, expected);
  if (typeof actual !== "object" || actual === null) return false;
  if (Array.isArray(expected) && expected.length !== actual.length) return false;
  return Reflect.ownKeys(expected).every((key) => matches(actual[key], expected[key]));
}

function show(value: unknown): string {
  return inspect(value, { depth: 8, maxArrayLength: 40, breakLength: 100 });
}

function failWith(what: string, msg: string | undefined, ...values: unknown[]): never {
  const [actual, expected] = values;
  const detail = values.length === 0
    ? ""
    : `\n    actual:   ${show(actual)}\n    expected: ${show(expected)}`;
  throw new AssertionError(`${what}${msg === undefined ? "." : `: ${msg}`}${detail}`);
}
