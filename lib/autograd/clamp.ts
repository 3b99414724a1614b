/** Limits of elements, with a derivative. @module */

import type { Real } from "../tensor/dtype.ts";
import { realOperand, unwrapped } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { add, binaryInto, multiply, subtract } from "./arithmetic.ts";
import { contribute } from "./contribute.ts";
import { isPositive } from "./max.ts";
import { negate, scale, shift } from "./unary.ts";

/**
 * Limits each element to -most … most; the gradient passes where nothing was cut off. Unlike a
 * difference of ReLUs, it returns every other element to the bit.
 */
export function clamp<S extends Shape, D extends Real>(
  x: Tensor<D, S>,
  most: number,
): DeviceTensor<D, S> {
  const source = realOperand("clamp", x);
  const { out, inside } = limited(source, most);
  recordNode({
    operation: "clamp",
    inputs: [source],
    outputs: [out],
    saved: [inside],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      contribute(gradients, source, dy.shape, (dx) => binaryInto("multiply", dx, dy, inside));
    },
  });
  return out;
}

/** The limited elements, and a mask of those that were within the limits. */
function limited<S extends Shape, D extends Real>(
  x: DeviceTensor<D, S>,
  most: number,
): { readonly out: DeviceTensor<D, S>; readonly inside: DeviceTensor<D, S> } {
  using pause = x.memory.openPause();
  const above = isPositive(shift<S, D>(x, -most));
  const below = isPositive(shift<S, D>(negate<S, D>(x), -most));
  const inside = shift<S, D>(negate<S, D>(add<D, S>(above, below)), 1);
  const cut = scale<S, D>(subtract<D, S>(above, below), most);
  const out = add<D, S>(multiply<D, S>(x, inside), cut);
  return { out: unwrapped(pause.keep(out)), inside: unwrapped(pause.keep(inside)) };
}
