/** The table's entries, and the numbers that their references compute. @module */

import type { DType } from "../../lib/tensor/dtype.ts";
import type { World } from "./world.ts";

/** A tensor's numbers on the host: how references take arguments and return results. */
export class HostTensor {
  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly data: readonly number[],
  ) {}
}

/** One valid call of one exported function, constructor or method. */
export interface Entry {
  /** What it covers: `add`, `Device.zeros`, `new AdamW`. */
  readonly of: string;
  /** Distinguishes several calls of one export. */
  readonly variant?: string;
  /** Makes fresh arguments; for a method, the first is its object. */
  readonly make: (world: World) => readonly unknown[] | Promise<readonly unknown[]>;
  /** Makes the call; `args` may be of any kind. */
  // deno-lint-ignore no-explicit-any
  readonly call: (...args: any[]) => unknown;
  /**
   * The right value, from the arguments with each tensor as a {@linkcode HostTensor}. Throws
   * {@linkcode Wrong} for arguments that must be refused.
   */
  // deno-lint-ignore no-explicit-any
  readonly right: (...args: any[]) => unknown;
  /** Whether the first argument is a method's object, which is only disposed, never mutated. */
  readonly object?: boolean;
  /** The most mutations to try, evenly picked, for calls that take milliseconds; default all. */
  readonly tries?: number;
}

/** Thrown by a reference for meaningless arguments: the call must be refused. */
export class Wrong extends Error {}

/** Asserts what the reference needs of its arguments. */
export function demand(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Wrong(why);
}

/** Refuses anything but a tensor of one of `dtypes`. */
export function demandTensor(
  value: unknown,
  dtypes: readonly DType[] = ["f32"],
): asserts value is HostTensor {
  demand(value instanceof HostTensor, "not a tensor");
  demand(dtypes.includes(value.dtype), `a tensor of ${value.dtype}`);
}

/** The number of elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Refuses anything but a shape. */
export function demandShape(shape: unknown): asserts shape is readonly number[] {
  demand(
    Array.isArray(shape) &&
      Array.from(shape).every((size) => Number.isInteger(size) && size >= 0 && size < 2 ** 31),
    "not a shape",
  );
}

/** An fp32 result. */
export function f32(shape: readonly number[], data: ArrayLike<number>): HostTensor {
  return new HostTensor("f32", shape, Array.from(data));
}
