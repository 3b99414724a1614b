// deno-lint-ignore-file no-explicit-any -- as in the signatures of the original
/**
 * Stand-in for `@std/testing/types`: assertions on types.
 *
 * @module
 */

/** `true` where both types are the same, `any` only being the same as `any`. */
export type IsExact<T, U> = (<V>() => V extends Flat<T> ? 1 : 2) extends
  (<V>() => V extends Flat<U> ? 1 : 2) ? true : false;

/** `true` where `T` is `any`. */
export type IsAny<T> = 0 extends (1 & T) ? true : false;

/** `true` where `T` is `never`. */
export type IsNever<T> = [T] extends [never] ? true : false;

/** `true` where `T` is `unknown`. */
export type IsUnknown<T> = IsAny<T> extends true ? false : unknown extends T ? true : false;

/** `true` where `T` can be `null` or `undefined`. */
export type IsNullable<T> = Extract<T, null | undefined> extends never ? false : true;

/** `true` where a member of the union `T` extends `U`. */
export type Has<T, U> = IsAny<T> extends true ? true
  : IsAny<U> extends true ? false
  : Extract<T, U> extends never ? false
  : true;

/** `true` where no member of the union `T` extends `U`. */
export type NotHas<T, U> = Has<T, U> extends true ? false : true;

/** Compiles only with `true`. */
export type AssertTrue<T extends true> = never;

/** Compiles only with `false`. */
export type AssertFalse<T extends false> = never;

/** Merges intersections, so that `{ a: 1 } & { b: 2 }` is the same as `{ a: 1; b: 2 }`. */
type Flat<T> = IsAny<T> extends true ? any : T extends (...args: any) => unknown ? T
: T extends object ? { [Key in keyof T]: Flat<T[Key]> }
: T;

/**
 * Compiles only where the type argument is the literal that is passed.
 *
 * @param _expected `true` or `false`.
 */
export function assertType<T extends boolean>(_expected: T): void {}
