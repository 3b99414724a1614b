/**
 * Lists the coordinates of every element of a dense array, in order.
 *
 * @param shape Sizes of the axes; none for a scalar.
 * @returns One list of coordinates per element.
 */
export function* coordinatesOf(shape: readonly number[]): Generator<readonly number[]> {
  const count = elementsOf(shape);
  const current = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    yield current;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      current[axis] = current[axis]! + 1;
      if (current[axis]! < shape[axis]!) break;
      current[axis] = 0;
    }
  }
}

/**
 * Multiplies the sizes of a shape.
 *
 * @param shape Sizes of the axes.
 * @returns The number of elements in an array of that shape.
 */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Computes the strides of a dense, row-major array.
 *
 * @param shape Sizes of the axes.
 * @returns Elements between neighbours, by axis.
 */
export function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementsOf(shape.slice(axis + 1)));
}

/**
 * Finds the flat index of an element.
 *
 * @param coordinates Its coordinates.
 * @param strides Elements between neighbours, by axis; 0 broadcasts.
 * @returns The index.
 */
export function flatIndex(coordinates: readonly number[], strides: readonly number[]): number {
  return coordinates.reduce((sum, coordinate, axis) => sum + coordinate * strides[axis]!, 0);
}

/**
 * Gathers a strided array into a dense one.
 *
 * @param source The elements.
 * @param shape Shape of the result.
 * @param strides Source elements between neighbours, by axis of the result.
 * @returns The dense elements.
 */
export function copyStrided(
  source: ArrayLike<number>,
  shape: readonly number[],
  strides: readonly number[],
): Float64Array {
  const target = new Float64Array(elementsOf(shape));
  let i = 0;
  for (const coordinates of coordinatesOf(shape)) {
    target[i++] = source[flatIndex(coordinates, strides)]!;
  }
  return target;
}
