/** Shapes at run time: sizes, strides, broadcasting, and kernel layouts. @module */

import { LARGEST_SIZE, ownList, requireWhole, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import type { Shape } from "./shape.ts";

/** Maximum number of axes in a kernel layout. */
const MAX_RANK = 8;

/** Maximum number of elements: beyond it, their bytes would exceed the safe integers. */
const MOST_ELEMENTS = Math.floor(Number.MAX_SAFE_INTEGER / 8);

/** Maximum number of axes of a tensor: any more could only have size 1. */
const MOST_AXES = 64;

/** A shape that has been checked, and its element count; every tensor is one. */
export interface CheckedShape<out S extends Shape = Shape> {
  /** Frozen sizes. */
  readonly shape: S;
  /** Number of elements. */
  readonly size: number;
}

/**
 * Checks a caller's shape and freezes a copy of it.
 *
 * @throws {TypeError} If it is not an array.
 * @throws {RangeError} If a size, the number of axes or the number of elements is out of range.
 */
export function checkedShape<S extends Shape>(given: S): CheckedShape<S> {
  const shape = frozenCopy(given);
  return { shape, size: elementCount(shape) };
}

function frozenCopy<S extends Shape>(shape: S): S {
  if (!Array.isArray(shape)) {
    throw new TypeError(
      `Cannot make a tensor of shape ${shown(shape)}: a shape is an array of sizes, such as [2, 3]`,
    );
  }
  if (!(shape.length <= MOST_AXES)) {
    throw new RangeError(
      `Cannot make a tensor of ${shown(shape.length)} axes: it can have at most ${MOST_AXES}`,
    );
  }
  return Object.freeze(ownList<number>(shape)) as readonly number[] as S;
}

/** Counts elements. Sizes must be positive integers that fit in an int32. */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isInteger(size) || size < 1 || size > LARGEST_SIZE) {
      throw new RangeError(
        `Cannot make a tensor of shape ${showShape(shape)}: every size must be a positive ` +
          `integer of at most ${LARGEST_SIZE}`,
      );
    }
    count *= size;
  }
  if (count > MOST_ELEMENTS) {
    throw new RangeError(
      `Cannot make a tensor of shape ${
        showShape(shape)
      }: it has more than ${MOST_ELEMENTS} elements`,
    );
  }
  return count;
}

/**
 * Resolves an axis to an index from 0.
 *
 * @param operation The action on the shape, worded to follow "Cannot".
 * @param shape The shape.
 * @param axis The axis, counted from the end if negative.
 * @throws {RangeError} If there is no such axis.
 */
export function axisOf(operation: string, shape: Shape, axis: number): number {
  const at = typeof axis === "number" && axis < 0 ? axis + shape.length : axis;
  if (Number.isInteger(at) && at >= 0 && at < shape.length) return at;
  throw new RangeError(
    `Cannot ${operation} ${showShape(shape)} along axis ${
      shown(axis)
    }: it has ${shape.length} axes`,
  );
}

/** Views a tensor as rows along its last axis; kernels take both sizes as int32. */
export function rowsOf(
  operation: string,
  { shape, size }: { readonly shape: Shape; readonly size: number },
): { rows: number; columns: number } {
  const columns = shape.at(-1) ?? 1;
  const rows = size / columns;
  if (rows > LARGEST_SIZE) {
    requireWhole(operation, `the number of rows of ${showShape(shape)}`, rows, {
      least: 1,
      most: LARGEST_SIZE,
    });
  }
  return { rows, columns };
}

/** Formats a shape as `[2, 3]`, and anything else as a value. */
export function showShape(shape: Shape): string {
  if (!Array.isArray(shape)) return shown(shape);
  return `[${shape.map((size) => typeof size === "number" ? size : shown(size)).join(", ")}]`;
}

/** Row-major strides of a dense tensor, in elements. */
export function denseStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** The order of axes that undoes `order`. */
export function inversePermutation(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis));
}

/** Broadcasts two shapes, aligned at their last axes. */
export function broadcastShape(operation: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const left = a[a.length - i] ?? 1;
    const right = b[b.length - i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeMismatchError(
        `Cannot ${operation} ${showShape(a)} and ${showShape(b)}: sizes ${left} and ${right} ` +
          `do not broadcast; make them equal or one of them 1`,
      );
    }
    shape[rank - i] = left === 1 ? right : left;
  }
  return shape;
}

/** Strides of an operand in a broadcast shape; 0 repeats an axis. */
function broadcastStrides(operand: Shape, shape: Shape): number[] {
  const dense = denseStrides(operand);
  const missing = shape.length - operand.length;
  return shape.map((_, axis) =>
    axis < missing || operand[axis - missing] === 1 ? 0 : dense[axis - missing]!
  );
}

/** Layout of `remoe_binary`. */
export function binaryLayout(shape: Shape, a: Shape, b: Shape): Int32Array<ArrayBuffer> {
  checkRank(shape);
  return layoutOf(shape, [...broadcastStrides(a, shape), ...broadcastStrides(b, shape)]);
}

/** Layout of `remoe_copy_strided`. */
export function stridedLayout(shape: Shape, strides: readonly number[]): Int32Array<ArrayBuffer> {
  checkRank(shape);
  return layoutOf(shape, strides);
}

/** Layout of `remoe_reduce`. */
export function reduceLayout(
  shape: Shape,
  reduced: (axis: number) => boolean,
): Int32Array<ArrayBuffer> {
  checkRank(shape);
  return layoutOf(shape, shape.map((_, axis) => reduced(axis) ? 1 : 0));
}

/** Layout of `remoe_reduce` that sums a gradient of shape `shape` to a broadcast operand's. */
export function unbroadcastLayout(shape: Shape, operand: Shape): Int32Array<ArrayBuffer> {
  const missing = shape.length - operand.length;
  return reduceLayout(
    shape,
    (axis) => axis < missing || (operand[axis - missing] === 1 && shape[axis] !== 1),
  );
}

/** Rank, sizes, and per-axis numbers. Larger ones are refused, since an int32 would wrap them. */
function layoutOf(shape: Shape, rest: readonly number[]): Int32Array<ArrayBuffer> {
  for (const stride of rest) {
    if (stride > LARGEST_SIZE) {
      throw new RangeError(
        `Cannot work on shape ${showShape(shape)}: rows are ${stride} elements apart, at most ` +
          `${LARGEST_SIZE} are supported; split the tensor`,
      );
    }
  }
  return Int32Array.from([shape.length, ...shape, ...rest]);
}

function checkRank(shape: Shape): void {
  if (shape.length > MAX_RANK) {
    throw new RangeError(
      `Cannot work on shape ${
        showShape(shape)
      }: operations take at most ${MAX_RANK} axes; reshape first`,
    );
  }
}

/** Tells whether two shapes are equal. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
