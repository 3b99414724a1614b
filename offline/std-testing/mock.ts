// deno-lint-ignore-file no-explicit-any -- as in the signatures of the original
/**
 * Stand-in for `@std/testing/mock`: spies and stubs.
 *
 * @module
 */

import { assertEquals, AssertionError } from "@std/assert";

/** A spy was asked for what it cannot do. */
export class MockError extends Error {
  override readonly name = "MockError";
}

/** One recorded call. */
export interface SpyCall<Self = any, Args extends unknown[] = any[], Return = any> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: Self;
}

/** A function that records its calls. */
export interface Spy<Self = any, Args extends unknown[] = any[], Return = any> {
  (this: Self, ...args: Args): Return;
  original: (this: Self, ...args: Args) => Return;
  calls: SpyCall<Self, Args, Return>[];
  restored: boolean;
  restore(): void;
}

/** A recording method, put back by `restore` or at the end of a `using` block. */
export interface MethodSpy<Self = any, Args extends unknown[] = any[], Return = any>
  extends Spy<Self, Args, Return>, Disposable {}

/** A method replaced by another function. */
export interface Stub<Self = any, Args extends unknown[] = any[], Return = any>
  extends MethodSpy<Self, Args, Return> {
  fake: (this: Self, ...args: Args) => Return;
}

type Arguments<Self, Name extends keyof Self> = Self[Name] extends (...args: infer Args) => unknown
  ? Args
  : unknown[];
type Result<Self, Name extends keyof Self> = Self[Name] extends (...args: never[]) => infer Return
  ? Return
  : unknown;

/** A function that does nothing but record its calls. */
export function spy(): Spy<any, any[], undefined>;
/** A function that records its calls and makes them. */
export function spy<Self, Args extends unknown[], Return>(
  func: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
/** Records the calls of a method. */
export function spy<Self, Name extends keyof Self>(
  self: Self,
  property: Name,
): MethodSpy<Self, Arguments<Self, Name>, Result<Self, Name>>;
export function spy(target?: any, property?: PropertyKey): any {
  if (property !== undefined) return replace(target, property, undefined);
  const original = target ?? (() => {});
  return record(original, original, () => {
    throw new MockError("function cannot be restored");
  });
}

/** Replaces a method by a function that does nothing. */
export function stub<Self, Name extends keyof Self>(
  self: Self,
  property: Name,
): Stub<Self, Arguments<Self, Name>, Result<Self, Name>>;
/** Replaces a method by another function. */
export function stub<Self, Name extends keyof Self>(
  self: Self,
  property: Name,
  func: (this: Self, ...args: Arguments<Self, Name>) => Result<Self, Name>,
): Stub<Self, Arguments<Self, Name>, Result<Self, Name>>;
export function stub(self: any, property: PropertyKey, func: any = () => {}): any {
  return Object.assign(replace(self, property, func), { fake: func });
}

/** A function that returns the given values, one a call. */
export function returnsNext<Return, Self = any, Args extends unknown[] = any[]>(
  values: Iterable<Return>,
): (this: Self, ...args: Args) => Return {
  const iterator = values[Symbol.iterator]();
  let calls = 0;
  return () => {
    const next = iterator.next();
    if (next.done) throw new MockError(`No return for call: calls ${calls}`);
    calls++;
    return next.value;
  };
}

/** Asserts how often a spy was called. */
export function assertSpyCalls(spied: Spy, expected: number): void {
  if (spied.calls.length !== expected) {
    throw new AssertionError(
      `Spy not called as much as expected: ${spied.calls.length} calls, expected ${expected}`,
    );
  }
}

/** Asserts what one call of a spy was given and returned. */
export function assertSpyCall(spied: Spy, index: number, expected: Partial<SpyCall> = {}): void {
  const call = spied.calls[index];
  if (call === undefined) throw new AssertionError(`Spy not called as much as expected: ${index}`);
  if (expected.args !== undefined) assertEquals(call.args, expected.args);
  if ("returned" in expected) assertEquals(call.returned, expected.returned);
  if ("self" in expected) assertEquals(call.self, expected.self);
}

function record(original: any, run: any, restore: (spied: any) => void): any {
  const calls: SpyCall[] = [];
  const spied = function (this: any, ...args: any[]): any {
    const call: SpyCall = this === undefined ? { args } : { args, self: this };
    calls.push(call);
    try {
      return call.returned = run.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    }
  };
  return Object.assign(spied, { original, calls, restored: false, restore: () => restore(spied) });
}

function replace(self: any, property: PropertyKey, func: any): any {
  const original = self[property];
  if (typeof original !== "function") {
    throw new MockError(`"${String(property)}" is not an instance method`);
  }
  const own = Object.getOwnPropertyDescriptor(self, property);
  const spied = record(original, func ?? original, (current) => {
    if (current.restored) throw new MockError("instance method already restored");
    if (own === undefined) delete self[property];
    else Object.defineProperty(self, property, own);
    current.restored = true;
  });
  Object.defineProperty(self, property, {
    value: spied,
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? false,
  });
  spied[Symbol.dispose] = () => spied.restored || spied.restore();
  return spied;
}
