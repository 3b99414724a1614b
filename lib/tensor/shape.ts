/**
 * Shapes as types. The compiler checks literal sizes and the names of {@linkcode Dim}; sizes of
 * type `number` are checked at run time. A type error states the mismatch.
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

/** Sizes of the axes, outermost first; `readonly []` is a scalar. */
export type Shape = readonly number[];

/** A named size known only at run time: `Dim<"hidden">` never fits `Dim<"experts">`. */
export type Dim<Name extends string> = number & DimBrand<Name>;

/** Carries the name of a {@linkcode Dim}; exists only in types. */
export interface DimBrand<Name extends string> {
  /** The axis's name. */
  readonly dim: Name;
}

/**
 * Names a size that is known only at run time.
 *
 * @param _name The axis's name, part of the type.
 * @param size The size.
 * @returns The size, branded with the name.
 * @throws {RangeError} If the size is not an integer from 1 to 2³¹ - 1.
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
  // Checked here, not by requireWhole: this entry point must load no other module.
  if (!Number.isInteger(size) || size < 1 || size > 2 ** 31 - 1) {
    throw new RangeError(
      `Cannot name an axis: size is ${String(size)}, expected a whole number from 1 to 2147483647`,
    );
  }
  return size as Dim<Name>;
}

/** Why two shapes do not fit; the compiler prints the text. */
export interface ShapeError<Why extends string> {
  /** The mismatch. */
  readonly shapeError: Why;
}

/** A size as text. */
export type Size<N extends number> = N extends DimBrand<infer Name> ? Name : `${N}`;

/** A shape as text. */
export type Show<S extends Shape> = S extends
  readonly [infer H extends number, ...infer R extends Shape]
  ? R extends readonly [] ? Size<H> : `${Size<H>}, ${Show<R>}`
  : "";

/** Whether two sizes may be equal: equal literals, equal names, or one known only at run time. */
export type Fits<A extends number, B extends number> = number extends A | B ? true
  : [A, B] extends [B, A] ? true
  : false;

/** Whether the number of axes is unknown to the compiler. */
export type Rankless<S extends Shape> = number extends S["length"] ? true : false;

/** Shape of a product `[…, K] × [K, N]`, or a {@linkcode ShapeError}. */
export type MatMul<A extends Shape, B extends Shape> = true extends Rankless<A> | Rankless<B>
  ? Shape
  : A extends readonly [...infer L extends Shape, infer K extends number]
    ? B extends readonly [infer K2 extends number, infer N extends number]
      ? Fits<K, K2> extends true ? readonly [...L, N]
      : ShapeError<`matmul of [${Show<A>}] and [${Show<B>}]: ${Size<K>} is not ${Size<K2>}`>
    : ShapeError<`matmul: the right side needs two axes, has [${Show<B>}]`>
  : ShapeError<"matmul: the left side is a scalar">;

/** The size of one broadcast axis; `never` if the two do not fit. */
export type BroadcastSize<A extends number, B extends number> = A extends 1 ? B
  : B extends 1 ? A
  : Fits<A, B> extends true ? (number extends A ? B : A)
  : never;

/** Broadcasts from the last axis backwards; `Out` accumulates the axes done. */
export type BroadcastTail<A extends Shape, B extends Shape, Out extends Shape> = A extends
  readonly [...infer AR extends Shape, infer AH extends number]
  ? B extends readonly [...infer BR extends Shape, infer BH extends number]
    ? [BroadcastSize<AH, BH>] extends [never] ? never
    : BroadcastTail<AR, BR, readonly [BroadcastSize<AH, BH>, ...Out]>
  : readonly [...A, ...Out]
  : readonly [...B, ...Out];

/** Shape of an elementwise operation with broadcasting, or a {@linkcode ShapeError}. */
export type Broadcast<A extends Shape, B extends Shape> = true extends Rankless<A> | Rankless<B>
  ? Shape
  : [BroadcastTail<A, B, readonly []>] extends [never]
    ? ShapeError<`cannot broadcast [${Show<A>}] with [${Show<B>}]`>
  : BroadcastTail<A, B, readonly []>;

/** The shape with its last two axes swapped. */
export type Transpose<S extends Shape> = S extends
  readonly [...infer L extends Shape, infer M extends number, infer N extends number]
  ? readonly [...L, N, M]
  : Shape;

/** The shape without its last axis. */
export type DropLast<S extends Shape> = S extends readonly [...infer L extends Shape, number]
  ? readonly [...L]
  : Shape;

/** The shape after reducing an axis: -1 is the last, 0 the first, undefined all of them. */
export type Reduced<S extends Shape, Axis extends number | undefined> = Axis extends undefined
  ? readonly []
  : true extends Rankless<S> ? Shape
  : Axis extends -1 ? DropLast<S>
  : Axis extends 0
    ? (S extends readonly [number, ...infer R extends Shape] ? readonly [...R] : Shape)
  : Shape;

/** The shape with its axes permuted: axis `i` is axis `O[i]` of `S`. */
export type Permuted<S extends Shape, O extends Shape> = true extends Rankless<S> | Rankless<O>
  ? Shape
  : { readonly [I in keyof O]: S[O[I]] };

/** The shape with one axis resized: -1 is the last, 0 the first. */
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

/** Intersected with a parameter's type: no constraint if `R` is a shape, else its error. */
export type Check<R> = R extends Shape ? unknown : R;
