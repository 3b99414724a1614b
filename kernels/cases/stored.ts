import { DTypeCode } from "../../lib/ffi/mod.ts";
import type { Element, HostArray } from "./case.ts";
import { fromBfloat16, toBfloat16 } from "./random.ts";
import {
  BF16_OUTPUT,
  boundaries,
  EXACT,
  summed,
  summedByTruncation,
  type Tolerance,
} from "./tolerance.ts";

/** Element types that have a code in the contract. */
export type DType = Exclude<Element, "u8">;

/** Element types of activations. */
export type Real = "f32" | "bf16";

/** Bytes per element. */
export const ELEMENT_BYTES: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4, f64: 8 };

/**
 * Converts numbers to a dtype: rounded to nearest even, or truncated to integers.
 *
 * @param values Numbers.
 * @param dtype Element type.
 * @returns The stored elements.
 */
export function stored(values: ArrayLike<number>, dtype: DType): HostArray {
  switch (dtype) {
    case "f32":
      return Float32Array.from(values);
    case "bf16":
      return toBfloat16(values);
    case "i32":
      return Int32Array.from(values, Math.trunc);
    case "f64":
      return Float64Array.from(values);
  }
}

/** How a case holds its activations, and what that costs in accuracy. */
export interface Activations {
  /** Their element type. */
  readonly dtype: Real;
  /** Its code in the contract. */
  readonly code: number;
  /** Bytes per element. */
  readonly bytes: number;
  /**
   * Ends the names of cases. It is empty for fp32, whose cases keep their names and so their inputs.
   */
  readonly suffix: string;
  /** The rounding of an output, beyond the errors of fp32. */
  readonly rounding: Tolerance;
  /**
   * Rounds numbers to the dtype and leaves them in fp32.
   *
   * @param values Numbers.
   * @returns The numbers that a kernel sees.
   */
  round(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
  /**
   * Stores numbers as a kernel sees them.
   *
   * @param values Numbers.
   * @returns The elements.
   */
  store(
    values: Float32Array<ArrayBuffer>,
  ): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
  /**
   * The tolerance of a sum of products of such numbers, before it is rounded.
   *
   * @param length Terms in the sum.
   * @param scale The standard deviation of one term.
   * @returns The tolerance of fp32 arithmetic, or of a unit that truncates.
   */
  product(length: number, scale?: number): Tolerance;
  /**
   * The tolerance of roundings to the dtype at boundaries inside an operation.
   *
   * @param size The root of the sum of the squares of an output's terms.
   * @param roundings Roundings that go into each term, as the contract lists them.
   * @returns A tolerance, {@linkcode EXACT} for fp32.
   */
  boundaries(size: number, roundings: number): Tolerance;
}

const F32: Activations = {
  dtype: "f32",
  code: DTypeCode.f32,
  bytes: ELEMENT_BYTES.f32,
  suffix: "",
  rounding: EXACT,
  round: (values) => values,
  store: (values) => values,
  product: summed,
  boundaries: () => EXACT,
};

const BF16: Activations = {
  dtype: "bf16",
  code: DTypeCode.bf16,
  bytes: ELEMENT_BYTES.bf16,
  suffix: " bf16",
  rounding: BF16_OUTPUT,
  round: (values) => fromBfloat16(toBfloat16(values)),
  store: toBfloat16,
  product: summedByTruncation,
  boundaries,
};

/**
 * How a case holds activations of a dtype.
 *
 * @param dtype Element type, fp32 by default.
 * @returns Conversions and tolerances.
 */
export function activations(dtype: Real = "f32"): Activations {
  return dtype === "bf16" ? BF16 : F32;
}
