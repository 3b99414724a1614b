/**
 * Shapes as types: literal sizes are checked by the compiler, `number` at run time,
 * {@linkcode Dim} by its name. A misfit prints its reason.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { dim, type MatMul } from "@remoe/remoe/shapes";
 *
 * const hidden = dim("hidden", 64);
 * const experts = dim("experts", 8);
 * type Logits = MatMul<readonly [512, typeof hidden], readonly [typeof hidden, typeof experts]>;
 * const logits: Logits = [512, experts];
 * assert(logits[1] === 8);
 * ```
 *
 * @module
 */

import { requireSizes } from "../arguments.ts";

/** Sizes of the axes, outermost first; `readonly []` is a scalar. */
export type Shape = readonly number[];

/** A size known at run time, told apart by its name: `Dim<"hidden">` never fits `Dim<"experts">`. */
export type Dim<Name extends string> = number & DimBrand<Name>;

/** Carries the name of a {@linkcode Dim}; exists in types only. */
export interface DimBrand<Name extends string> {
  /** Name of the axis. */
  readonly dim: Name;
}

/**
 * Names a size that is known only at run time.
 *
 * @param _name Name of the axis, part of the type.
 * @param size The size.
 * @returns The size, branded with the name.
 * @throws {ConfigError} If it is no whole number from 1 to 2^31 - 1.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { dim } from "@remoe/remoe/shapes";
 *
 * const hidden = dim("hidden", 64);
 * assert(hidden === 64);
 * ```
 */
export function dim<Name extends string>(_name: Name, size: number): Dim<Name> {
  requireSizes("name an axis", { size });
  return size as Dim<Name>;
}

/** Why two shapes do not fit; its text is what the compiler prints. */
export interface ShapeError<Why extends string> {
  /** What is wrong. */
  readonly shapeError: Why;
}

/** A size as text. */
export type Size<N extends number> = N extends DimBrand<infer Name> ? Name : `${N}`;

/** A shape as text. */
export type Show<S extends Shape> = S extends
  readonly [infer H extends number, ...infer R extends Shape]
  ? R extends readonly [] ? Size<H> : `${Size<H>}, ${Show<R>}`
  : "";

/** Whether two sizes can be equal: equal literals, equal names, or one known only at run time. */
export type Fits<A extends number, B extends number> = number extends A | B ? true
  : [A, B] extends [B, A] ? true
  : false;

/** Whether the number of axes is unknown to the compiler. */
export type Rankless<S extends Shape> = number extends S["length"] ? true : false;

/** Shape of a product `[…, K] × [K, N]`, or the reason why there is none. */
export type MatMul<A extends Shape, B extends Shape> = true extends Rankless<A> | Rankless<B>
  ? Shape
  : A extends readonly [...infer L extends Shape, infer K extends number]
    ? B extends readonly [infer K2 extends number, infer N extends number]
      ? Fits<K, K2> extends true ? readonly [...L, N]
      : ShapeError<`matmul of [${Show<A>}] and [${Show<B>}]: ${Size<K>} is not ${Size<K2>}`>
    : ShapeError<`matmul: the right side needs two axes, has [${Show<B>}]`>
  : ShapeError<"matmul: the left side is a scalar">;

/** The size of one broadcast axis, `never` where the two do not fit. */
export type BroadcastSize<A extends number, B extends number> = A extends 1 ? B
  : B extends 1 ? A
  : Fits<A, B> extends true ? (number extends A ? B : A)
  : never;

/** Broadcast from the last axis backwards; `Out` gathers the axes done. */
export type BroadcastTail<A extends Shape, B extends Shape, Out extends Shape> = A extends
  readonly [...infer AR extends Shape, infer AH extends number]
  ? B extends readonly [...infer BR extends Shape, infer BH extends number]
    ? [BroadcastSize<AH, BH>] extends [never] ? never
    : BroadcastTail<AR, BR, readonly [BroadcastSize<AH, BH>, ...Out]>
  : readonly [...A, ...Out]
  : readonly [...B, ...Out];

/** Shape of an elementwise operation with broadcasting, or the reason why there is none. */
export type Broadcast<A extends Shape, B extends Shape> = true extends Rankless<A> | Rankless<B>
  ? Shape
  : [BroadcastTail<A, B, readonly []>] extends [never]
    ? ShapeError<`cannot broadcast [${Show<A>}] with [${Show<B>}]`>
  : BroadcastTail<A, B, readonly []>;

/** The last two axes swapped. */
export type Transpose<S extends Shape> = S extends
  readonly [...infer L extends Shape, infer M extends number, infer N extends number]
  ? readonly [...L, N, M]
  : Shape;

/** The last axis removed. */
export type DropLast<S extends Shape> = S extends readonly [...infer L extends Shape, number]
  ? readonly [...L]
  : Shape;

/** The shape left when an axis is reduced: all axes without one, the last for -1, the first for 0. */
export type Reduced<S extends Shape, Axis extends number | undefined> = Axis extends undefined
  ? readonly []
  : true extends Rankless<S> ? Shape
  : Axis extends -1 ? DropLast<S>
  : Axis extends 0
    ? (S extends readonly [number, ...infer R extends Shape] ? readonly [...R] : Shape)
  : Shape;

/** The shape with its axes in another order: axis `i` is axis `O[i]` of `S`. */
export type Permuted<S extends Shape, O extends Shape> = true extends Rankless<S> | Rankless<O>
  ? Shape
  : { readonly [I in keyof O]: S[O[I]] };

/** The shape with one axis of another size: the last for -1, the first for 0. */
export type Resized<S extends Shape, Axis extends number> = true extends Rankless<S> ? Shape
  : Axis extends -1
    ? (S extends readonly [...infer L extends Shape, number] ? readonly [...L, number] : Shape)
  : Axis extends 0
    ? (S extends readonly [number, ...infer R extends Shape] ? readonly [number, ...R] : Shape)
  : {
    readonly [I in keyof S]: `${Axis}` extends I ? number
      : `${Axis}` extends `-${string}` ? number
      : S[I];
  };

/** Intersected with an argument: nothing where `R` is a shape, else an impossible demand that shows the reason. */
export type Check<R> = R extends Shape ? unknown : R;
