/** What routers ask of the hidden states they are given. @module */

import { ShapeMismatchError } from "../errors.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Refuses hidden states that are not `[tokens, hidden]`.
 *
 * @param operation What was to be done, to follow "Cannot".
 * @param states The hidden states.
 * @param hidden The size of one.
 * @param weights Weights that they are to meet, for the message.
 * @throws {ShapeMismatchError} If they are not of this size.
 */
export function requireStates(
  operation: string,
  { shape }: DeviceTensor,
  hidden: number,
  weights?: DeviceTensor,
): void {
  if (shape.length === 2 && shape[1] === hidden) return;
  const met = weights === undefined ? "" : `, to meet weights ${showShape(weights.shape)}`;
  throw new ShapeMismatchError(
    `Cannot ${operation}: the states are ${showShape(shape)}, expected [tokens, ${hidden}]${met}`,
  );
}
