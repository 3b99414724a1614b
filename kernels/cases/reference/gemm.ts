/** Sizes and layout of a product C[m,n] = alpha op(A) op(B) + beta C. */
export interface GemmSizes {
  /** Rows of C. */
  readonly m: number;
  /** Columns of C. */
  readonly n: number;
  /** The inner size. */
  readonly k: number;
  /** Whether A is stored as [k, m]. */
  readonly transposeA?: boolean;
  /** Whether B is stored as [n, k]. */
  readonly transposeB?: boolean;
  /** Elements between stored rows of A; dense by default. */
  readonly lda?: number;
  /** Elements between stored rows of B; dense by default. */
  readonly ldb?: number;
  /** Elements between rows of C; dense by default. */
  readonly ldc?: number;
  /** Factor of the product, 1 by default. */
  readonly alpha?: number;
  /** Factor of the previous C, 0 by default. */
  readonly beta?: number;
}

/**
 * Multiplies two matrices.
 *
 * @param a The elements of A as stored.
 * @param b The elements of B as stored.
 * @param c The previous contents of C, including gaps between rows.
 * @param sizes Sizes, layout and factors.
 * @returns C, gaps included.
 */
export function gemm(
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  sizes: GemmSizes,
): Float64Array {
  const { m, n, k, transposeA = false, transposeB = false, alpha = 1, beta = 0 } = sizes;
  const { lda = transposeA ? m : k, ldb = transposeB ? k : n, ldc = n } = sizes;
  const result = c.slice();
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) {
        sum += a[transposeA ? l * lda + i : i * lda + l]! *
          b[transposeB ? j * ldb + l : l * ldb + j]!;
      }
      result[i * ldc + j] = alpha * sum + (beta === 0 ? 0 : beta * c[i * ldc + j]!);
    }
  }
  return result;
}

/**
 * Multiplies two dense matrices.
 *
 * @param a [m, k].
 * @param b [k, n].
 * @param m Rows of a.
 * @param k The inner size.
 * @param n Columns of b.
 * @returns a b, [m, n].
 */
export function matmul(
  a: Float64Array,
  b: Float64Array,
  m: number,
  k: number,
  n: number,
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const factor = a[i * k + l]!;
      for (let j = 0; j < n; j++) c[i * n + j] = c[i * n + j]! + factor * b[l * n + j]!;
    }
  }
  return c;
}
