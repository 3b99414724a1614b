/** Element types and what the kernels call them. @module */

import { DTypeCode } from "../ffi/codes.ts";

/** Element type of a tensor. `f64` is storage for statistics; operations compute in `f32`. */
export type DType = "f32" | "bf16" | "i32" | "f64";

/** The contract's code of each element type. */
export const DTYPE_CODE: Readonly<Record<DType, number>> = DTypeCode;

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4, f64: 8 };

/** Floating-point types that kernels compute with; `f64` is only stored. */
export const FLOATS: readonly DType[] = ["f32", "bf16"];

/** What {@linkcode read} gives for an element type: bf16 is widened to fp32, exactly. */
export interface HostArrays {
  /** 32-bit floats. */
  f32: Float32Array;
  /** 16-bit brain floats, widened. */
  bf16: Float32Array;
  /** 32-bit integers. */
  i32: Int32Array;
  /** 64-bit floats. */
  f64: Float64Array;
}
