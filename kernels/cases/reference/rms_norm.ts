/**
 * The inverse root mean square of each row.
 *
 * @param x [rows, columns].
 * @param columns Columns.
 * @param epsilon Added to the mean square.
 * @returns 1 / sqrt(mean(x^2) + epsilon), [rows].
 */
export function inverseRms(x: Float64Array, columns: number, epsilon: number): Float64Array {
  const inverse = new Float64Array(x.length / columns);
  for (let r = 0; r < inverse.length; r++) {
    let sum = 0;
    for (const value of x.subarray(r * columns, (r + 1) * columns)) sum += value * value;
    inverse[r] = 1 / Math.sqrt(sum / columns + epsilon);
  }
  return inverse;
}

/**
 * RMSNorm.
 *
 * @param x [rows, columns].
 * @param weight [columns].
 * @param epsilon Added to the mean square.
 * @returns x * weight / sqrt(mean(x^2) + epsilon), [rows, columns].
 */
export function rmsNorm(x: Float64Array, weight: Float64Array, epsilon: number): Float64Array {
  const columns = weight.length;
  const inverse = inverseRms(x, columns, epsilon);
  return x.map((value, i) => value * weight[i % columns]! * inverse[Math.floor(i / columns)]!);
}
