/** Element types and their codes in the kernel contract. @module */

import { DTypeCode } from "../ffi/codes.ts";

/** Element type of a tensor. `f64` only stores statistics; operations compute in `f32`. */
export type DType = "f32" | "bf16" | "i32" | "f64";

/** A type that layers and operations compute in: activations, their gradients, and products. */
export type Real = "f32" | "bf16";

/** Element type of a tensor's gradient: bf16 for bf16, else fp32. */
export type GradientType<D extends DType = DType> = D extends "bf16" ? "bf16" : "f32";

/** The element type of the gradient of a tensor of type `dtype`. */
export function gradientType<D extends DType>(dtype: D): GradientType<D> {
  return (dtype === "bf16" ? "bf16" : "f32") as GradientType<D>;
}

/** Code of each element type in the kernel contract. */
export const DTYPE_CODE: Readonly<Record<DType, number>> = DTypeCode;

/** Bytes per element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4, f64: 8 };

/** Floating-point types that kernels compute with; `f64` is only stored. */
export const FLOATS: readonly Real[] = ["f32", "bf16"];

/** The array that {@linkcode read} returns for each element type. */
export interface HostArrays {
  /** 32-bit floats. */
  f32: Float32Array;
  /** 16-bit brain floats, widened to fp32 exactly. */
  bf16: Float32Array;
  /** 32-bit integers. */
  i32: Int32Array;
  /** 64-bit floats. */
  f64: Float64Array;
}
