import { coordinatesOf, elementsOf } from "../../kernels/cases/reference/layout.ts";

/** The common shape of two operands, aligned at their last axes. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const sizeAt = (shape: readonly number[], axis: number): number =>
    shape[axis - (rank - shape.length)] ?? 1;
  return Array.from({ length: rank }, (_, axis) => Math.max(sizeAt(a, axis), sizeAt(b, axis)));
}

/** Applies a function elementwise with broadcasting, straight from the definition. */
export function broadcast(
  a: Float64Array,
  shapeA: readonly number[],
  b: Float64Array,
  shapeB: readonly number[],
  apply: (x: number, y: number) => number,
): Float64Array {
  const shape = broadcastShape(shapeA, shapeB);
  const result = new Float64Array(elementsOf(shape));
  let i = 0;
  for (const coordinates of coordinatesOf(shape)) {
    result[i++] = apply(a[indexIn(shapeA, coordinates)]!, b[indexIn(shapeB, coordinates)]!);
  }
  return result;
}

/** The index of an operand's element at given coordinates; axes of size 1 repeat. */
function indexIn(shape: readonly number[], coordinates: readonly number[]): number {
  const missing = coordinates.length - shape.length;
  return shape.reduce(
    (index, size, axis) => index * size + (size === 1 ? 0 : coordinates[axis + missing]!),
    0,
  );
}
