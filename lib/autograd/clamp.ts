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
  const { inside, limits } = cutOff(x, most);
  using _limits = limits;
  using within = multiply<D, S>(x, inside);
  const out = add<D, S>(within, limits);
  return { out: unwrapped(pause.keep(out)), inside: unwrapped(pause.keep(inside)) };
}

/**
 * The mask, and the limit in place of each element beyond it, 0 elsewhere. Each step frees what it
 * has read: a chain of steps on queries, keys and values would else be the peak of a forward pass.
 */
function cutOff<S extends Shape, D extends Real>(
  x: DeviceTensor<D, S>,
  most: number,
): { readonly inside: Tensor<D, S>; readonly limits: Tensor<D, S> } {
  using above = isAbove<S, D>(x, most);
  using below = isBelow<S, D>(x, most);
  return { inside: neither<S, D>(above, below), limits: limitsOf<S, D>(above, below, most) };
}

function isAbove<S extends Shape, D extends Real>(x: Tensor<D, S>, most: number): Tensor<D, S> {
  using excess = shift<S, D>(x, -most);
  return isPositive<S, D>(excess);
}

function isBelow<S extends Shape, D extends Real>(x: Tensor<D, S>, most: number): Tensor<D, S> {
  using negated = negate<S, D>(x);
  return isAbove<S, D>(negated, most);
}

function neither<S extends Shape, D extends Real>(
  above: Tensor<D, S>,
  below: Tensor<D, S>,
): Tensor<D, S> {
  using outside = add<D, S>(above, below);
  using negated = negate<S, D>(outside);
  return shift<S, D>(negated, 1);
}

function limitsOf<S extends Shape, D extends Real>(
  above: Tensor<D, S>,
  below: Tensor<D, S>,
  most: number,
): Tensor<D, S> {
  using side = subtract<D, S>(above, below);
  return scale<S, D>(side, most);
}
