/** Sizes and angles of a rotary embedding. */
export interface RopeSizes {
  /** Rows. */
  readonly rows: number;
  /** Elements between rows. */
  readonly stride: number;
  /** Rows per sequence. */
  readonly sequence: number;
  /** Heads to rotate; columns after them are unchanged. */
  readonly heads: number;
  /** Columns per head, even. */
  readonly headDim: number;
  /** Base of the frequencies. */
  readonly base: number;
  /** Position of the first row of a sequence. */
  readonly offset: number;
}

/**
 * Rotates each pair (x_i, x_{i + headDim/2}) by position * base^(-2i/headDim).
 *
 * @param x [rows, stride].
 * @param sizes Sizes and angles.
 * @returns The rotated rows; columns after the heads are copied.
 */
export function rope(x: Float64Array, sizes: RopeSizes): Float64Array {
  const { rows, stride, sequence, heads, headDim, base, offset } = sizes;
  const half = headDim / 2;
  const y = x.slice();
  for (let r = 0; r < rows; r++) {
    const position = offset + (r % sequence);
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const angle = position * base ** (-i / half);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const first = r * stride + head * headDim + i;
        const [a, b] = [x[first]!, x[first + half]!];
        y[first] = a * c - b * s;
        y[first + half] = a * s + b * c;
      }
    }
  }
  return y;
}
