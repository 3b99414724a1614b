/** Which derivatives exist. @module */

import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Refuses a derivative that reads operands next to an fp32 gradient, where these are of another
 * type: a kernel takes one type for both and would misread them.
 */
export function requireFp32(operation: string, operand: DeviceTensor): void {
  if (operand.dtype === "f32") return;
  throw new TypeError(
    `Cannot differentiate ${operation} of ${operand.dtype}: cast its operands to f32 first`,
  );
}
