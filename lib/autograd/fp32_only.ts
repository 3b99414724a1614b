/** Refusal of derivatives that exist only in fp32. @module */

import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Throws unless an operand is fp32, for derivatives whose kernel reads operands and the fp32
 * gradient as one type and would misread any other.
 */
export function requireFp32(operation: string, operand: DeviceTensor): void {
  if (operand.dtype === "f32") return;
  throw new TypeError(
    `Cannot differentiate ${operation} of ${operand.dtype}: cast its operands to f32 first`,
  );
}
