/** Decoding of a tensor's bytes. @module */

import type { DType, HostArrays } from "./dtype.ts";

/** Decodes a tensor's bytes; bf16 is widened to fp32. */
export function hostArray(dtype: DType, bytes: Uint8Array<ArrayBuffer>): HostArrays[DType] {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes.buffer);
    case "i32":
      return new Int32Array(bytes.buffer);
    case "f64":
      return new Float64Array(bytes.buffer);
    case "bf16":
      // bf16 is the upper half of an fp32, so widening is exact.
      return new Float32Array(
        Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer,
      );
  }
}
