/** Checks of the hidden states passed to routers and layers. @module */

import { inFp32 } from "../autograd/layout.ts";
import { ShapeMismatchError } from "../errors.ts";
import type { Real } from "../tensor/dtype.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/**
 * Refuses hidden states that are not `[tokens, hidden]`.
 *
 * @param operation The operation, worded to follow "Cannot".
 * @param states The hidden states.
 * @param hidden The expected hidden size.
 * @param weights The weights they are multiplied with, for the message.
 * @throws {ShapeMismatchError} If the shape differs.
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

/** States in the type that a router takes. */
export function statesFor<S extends Shape>(
  router: { readonly takesBf16?: boolean },
  states: DeviceTensor<Real, S>,
): DeviceTensor<"f32", S> {
  // The interface's type is that of routers which take f32 alone.
  return router.takesBf16 === true
    ? states as DeviceTensor<Real, S> as DeviceTensor<"f32", S>
    : inFp32(states);
}
