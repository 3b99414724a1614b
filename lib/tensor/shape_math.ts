/** Shapes at run time: sizes, strides, broadcasting, and the layouts that kernels read. @module */

import { ShapeMismatchError } from "../errors.ts";
import type { Shape } from "./shape.ts";

/** Most axes a kernel layout holds. */
const MAX_RANK = 8;

/** Number of elements. Sizes must be positive integers. */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(
        `Cannot make a tensor of shape ${showShape(shape)}: every size must be a positive integer`,
      );
    }
    count *= size;
  }
  return count;
}

/** `[2, 3]`. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Elements between neighbours on each axis of a dense tensor. */
export function denseStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** The common shape of two operands, aligned at their last axes. */
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

/** Strides of an operand inside a broadcast shape: 0 repeats. */
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
  return Int32Array.from([
    shape.length,
    ...shape,
    ...broadcastStrides(a, shape),
    ...broadcastStrides(b, shape),
  ]);
}

/** Layout of `remoe_copy_strided`. */
export function stridedLayout(shape: Shape, strides: readonly number[]): Int32Array<ArrayBuffer> {
  checkRank(shape);
  return Int32Array.from([shape.length, ...shape, ...strides]);
}

/** Layout of `remoe_reduce`. */
export function reduceLayout(
  shape: Shape,
  reduced: (axis: number) => boolean,
): Int32Array<ArrayBuffer> {
  checkRank(shape);
  return Int32Array.from([
    shape.length,
    ...shape,
    ...shape.map((_, axis) => reduced(axis) ? 1 : 0),
  ]);
}

/** Layout that sums a gradient of shape `shape` down to a broadcast operand. */
export function unbroadcastLayout(shape: Shape, operand: Shape): Int32Array<ArrayBuffer> {
  const missing = shape.length - operand.length;
  return reduceLayout(
    shape,
    (axis) => axis < missing || (operand[axis - missing] === 1 && shape[axis] !== 1),
  );
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

/** Whether two shapes are equal. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
