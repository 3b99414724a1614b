/** Matrix products. @module */

import { ShapeMismatchError } from "../errors.ts";
import { type DType, DTYPE_CODE, FLOATS, type Real } from "../tensor/dtype.ts";
import { operands, requireOneType, typed } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { rowsOf, showShape } from "../tensor/shape_math.ts";
import type { Check, MatMul, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";

/** Settings of {@linkcode gemm}; matrices are dense, row-major. */
interface Gemm {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Rows and columns of C, and the inner size. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** 1 adds to C, 0 overwrites it. */
  readonly beta: 0 | 1;
}

/** C = op(A) op(B) + beta C; each may be f32 or bf16, and a bf16 C is rounded once. */
export function gemm(c: DeviceTensor, a: DeviceTensor, b: DeviceTensor, g: Gemm): void {
  const { kernels } = c.memory;
  kernels.check(
    kernels.symbols.remoe_gemm(
      kernels.handle,
      DTYPE_CODE[a.dtype],
      DTYPE_CODE[b.dtype],
      DTYPE_CODE[c.dtype],
      g.transposeA ? 1 : 0,
      g.transposeB ? 1 : 0,
      g.m,
      g.n,
      g.k,
      1,
      a.address,
      g.transposeA ? g.m : g.k,
      b.address,
      g.transposeB ? g.k : g.n,
      g.beta,
      c.address,
      g.n,
    ),
    "matmul",
  );
}

/**
 * Matrix product `[M, K] × [K, N]`.
 *
 * @param a Left matrix `[M, K]`, or a batch of rows `[…, K]`.
 * @param b Right matrix `[K, N]`.
 * @returns `[M, N]`, or `[…, N]`.
 * @throws {ShapeMismatchError} If the inner sizes differ.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, matmul, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = matmul(device.from([1, 2], [1, 2]), device.from([3, 4], [2, 1]));
 * assert((await read(y))[0] === 11);
 * ```
 */
export function matmul<
  D extends DType,
  M extends number,
  K extends number,
  N extends number,
>(
  a: Tensor<D, readonly [M, K]>,
  b: Tensor<NoInfer<D>, readonly [NoInfer<K>, N]>,
): Tensor<D, readonly [M, N]>;
/**
 * Matrix product `[…, K] × [K, N]`.
 *
 * @param a A batch of rows `[…, K]`.
 * @param b Right matrix `[K, N]`.
 * @returns `[…, N]`.
 * @throws {ShapeMismatchError} If the inner sizes differ.
 */
export function matmul<D extends DType, A extends Shape, B extends Shape>(
  a: Tensor<D, A>,
  b: Tensor<NoInfer<D>, B> & Check<MatMul<A, B>>,
): Tensor<D, Extract<MatMul<A, B>, Shape>>;
export function matmul(left: Tensor, right: Tensor): Tensor {
  const [a, b] = operands("matmul", typed(left, FLOATS), typed(right, FLOATS));
  requireOneType("matmul", a, b);
  return product(a, b, a.dtype as Real);
}

/** {@linkcode matmul} of operands of either type, with a result of any type. */
export function product<R extends Real>(
  a: DeviceTensor,
  b: DeviceTensor,
  dtype: R,
): DeviceTensor<R> {
  const k = a.shape.at(-1);
  const n = b.shape[1];
  if (k === undefined || n === undefined || b.shape.length !== 2 || b.shape[0] !== k) {
    throw new ShapeMismatchError(
      `Cannot matmul ${showShape(a.shape)} and ${showShape(b.shape)}: the left's last size must ` +
        `equal the right's first, and the right side must have two axes`,
    );
  }
  const m = rowsOf("matmul", a).rows;
  const out = a.memory.allocate(dtype, [...a.shape.slice(0, -1), n]);
  gemm(out, a, b, { m, n, k, beta: 0 });
  recordNode({
    operation: "matmul",
    inputs: [a, b],
    outputs: [out],
    saved: [a, b],
    // C = AB gives dA = dC B^T and dB = A^T dC.
    backward(gradients) {
      const dc = gradients.of(out);
      if (dc === null) return;
      const da = gradients.into(a);
      if (da) gemm(da.tensor, dc, b, { transposeB: true, m, n: k, k: n, beta: da.accumulate });
      const db = gradients.into(b);
      if (db) gemm(db.tensor, a, dc, { transposeA: true, m: k, n, k: m, beta: db.accumulate });
    },
  });
  return out;
}
