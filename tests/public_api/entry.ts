/** What an entry of the table says, and the numbers that its reference computes. @module */

import type { DType } from "../../lib/tensor/dtype.ts";
import type { World } from "./world.ts";

/** A tensor's numbers on the host, as the references see an argument and give a result. */
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
  /** Which of several calls of one export. */
  readonly variant?: string;
  /** Makes the arguments anew; for a method, its object is the first. */
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
  /** Arguments that are not mutated, by position: the object of a method is only disposed. */
  readonly object?: boolean;
  /** Most mutations to try, evenly picked: for calls that take milliseconds. Default all. */
  readonly tries?: number;
}

/** A reference's word that the arguments mean nothing: the call must be refused. */
export class Wrong extends Error {}

/** Demands of arguments what the reference needs. */
export function demand(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Wrong(why);
}

/** Refuses what is no tensor of one of `dtypes`. */
export function demandTensor(
  value: unknown,
  dtypes: readonly DType[] = ["f32"],
): asserts value is HostTensor {
  demand(value instanceof HostTensor, "not a tensor");
  demand(dtypes.includes(value.dtype), `a tensor of ${value.dtype}`);
}

/** Elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Refuses what is no shape. */
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
