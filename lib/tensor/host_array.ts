/** The bytes of a tensor as numbers. @module */

import type { DType, HostArrays } from "./dtype.ts";

/** The bytes of a tensor as numbers; bf16 is widened. */
export function hostArray(dtype: DType, bytes: Uint8Array<ArrayBuffer>): HostArrays[DType] {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes.buffer);
    case "i32":
      return new Int32Array(bytes.buffer);
    case "f64":
      return new Float64Array(bytes.buffer);
    case "bf16":
      // bf16 is the upper half of an fp32: widening it is exact.
      return new Float32Array(
        Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer,
      );
  }
}
