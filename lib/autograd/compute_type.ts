/** The type that a layer computes in. @module */

import { requireOneOf } from "../arguments.ts";
import { FLOATS, type Real } from "../tensor/dtype.ts";

/**
 * Checks a layer's option `dtype`.
 *
 * @param operation The action, worded to follow "Cannot".
 * @param dtype The option.
 * @returns The type; f32 by default, as the layers' type parameters have it.
 * @throws {TypeError} If it is neither f32 nor bf16.
 */
export function computeType<R extends Real>(operation: string, dtype: R | undefined): R {
  const chosen: Real = dtype ?? "f32";
  requireOneOf(operation, "dtype", chosen, FLOATS);
  return chosen as R;
}
