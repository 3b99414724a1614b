import type { HostBuffer } from "./host_buffer.ts";

/** Random numbers, elementwise operations, reductions, layout and dense products. `kernels/include/remoe.h` has the shapes. */
export interface TensorSymbols {
  /** Fills with Philox draws, uniform or normal. */
  remoe_random(
    context: bigint,
    distribution: number,
    target: bigint,
    count: bigint,
    a: number,
    b: number,
    seed: bigint,
    operation: number,
    step: number,
  ): number;
  /** `target = a (op) b` with broadcasting. */
  remoe_binary(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    a: bigint,
    b: bigint,
    layout: HostBuffer,
  ): number;
  /** `target = op(x)`, element by element. */
  remoe_unary(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    x: bigint,
    parameter: number,
    count: bigint,
  ): number;
  /** `dx (+)= op'(x) * dy`, element by element. */
  remoe_unary_gradient(
    context: bigint,
    operation: number,
    dtype: number,
    dx: bigint,
    dy: bigint,
    x: bigint,
    parameter: number,
    count: bigint,
    accumulate: number,
  ): number;
  /** `target += scale * x`. */
  remoe_accumulate(
    context: bigint,
    dtype: number,
    target: bigint,
    x: bigint,
    scale: number,
    count: bigint,
  ): number;
  /** Reduces the flagged axes of `x`. */
  remoe_reduce(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    x: bigint,
    layout: HostBuffer,
    accumulate: number,
  ): number;
  /** Softmax over the last axis. */
  remoe_softmax(context: bigint, target: bigint, x: bigint, rows: number, columns: number): number;
  /** `dx (+)= y * (dy - <dy, y>)`, row by row. */
  remoe_softmax_gradient(
    context: bigint,
    dx: bigint,
    dy: bigint,
    y: bigint,
    rows: number,
    columns: number,
    accumulate: number,
  ): number;
  /** Converts between dtypes. */
  remoe_cast(
    context: bigint,
    targetDtype: number,
    target: bigint,
    sourceDtype: number,
    source: bigint,
    count: bigint,
  ): number;
  /** Gathers a strided source: transposes, slices, broadcasts. */
  remoe_copy_strided(
    context: bigint,
    dtype: number,
    target: bigint,
    source: bigint,
    layout: HostBuffer,
  ): number;
  /** `C = alpha * op(A) * op(B) + beta * C`. */
  remoe_gemm(
    context: bigint,
    dtype: number,
    dtypeC: number,
    transposeA: number,
    transposeB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: bigint,
    lda: number,
    b: bigint,
    ldb: number,
    beta: number,
    c: bigint,
    ldc: number,
  ): number;
}

/** The C types of {@linkcode TensorSymbols}, in the order of declaration. */
export const TENSOR_SYMBOLS = {
  remoe_random: {
    parameters: ["u64", "i32", "u64", "u64", "f64", "f64", "u64", "u32", "u32"],
    result: "i32",
    optional: true,
  },
  remoe_binary: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_unary: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "f32", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_unary_gradient: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "u64", "f32", "u64", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_accumulate: {
    parameters: ["u64", "i32", "u64", "u64", "f32", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_reduce: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "buffer", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_softmax: {
    parameters: ["u64", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_softmax_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_cast: {
    parameters: ["u64", "i32", "u64", "i32", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_strided: {
    parameters: ["u64", "i32", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_gemm: {
    parameters: [
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "f32",
      "u64",
      "i32",
      "u64",
      "i32",
      "f32",
      "u64",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;
