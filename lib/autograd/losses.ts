/** Losses. @module */

import { ShapeMismatchError } from "../errors.ts";
import { recordNode } from "../tensor/recorder.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import { operands, type Tensor } from "../tensor/tensor.ts";
import { subtract } from "./arithmetic.ts";
import { mean } from "./reduce.ts";
import { square } from "./unary.ts";

/**
 * Mean of the squared differences of two tensors.
 *
 * @param a Any tensor.
 * @param b A tensor of the same shape.
 * @returns A scalar.
 * @throws {ShapeMismatchError} If the shapes differ.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, meanSquaredError, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const loss = meanSquaredError(device.from([1, 2], [2]), device.from([1, 4], [2]));
 * assert((await read(loss))[0] === 2);
 * ```
 */
export function meanSquaredError<S extends Shape>(
  a: Tensor<"f32", S>,
  b: Tensor<"f32", NoInfer<S>>,
): Tensor<"f32", readonly []> {
  if (!sameShape(a.shape, b.shape)) {
    throw new ShapeMismatchError(
      `Cannot take the meanSquaredError of ${showShape(a.shape)} and ${showShape(b.shape)}: ` +
        `the shapes must be equal`,
    );
  }
  const difference = subtract<"f32", Shape, Shape>(a, b as Tensor<"f32">);
  return mean(square(difference)) as Tensor<"f32", readonly []>;
}

/** What {@linkcode crossEntropy} gives. */
export interface CrossEntropy<T extends number = number> {
  /** Mean of `-ln p(target)` over the targets that count, in nats. */
  readonly loss: Tensor<"f32", readonly []>;
  /** The loss of each token, in nats; 0 where its target is ignored. */
  readonly tokenLoss: Tensor<"f32", readonly [T]>;
}

/**
 * Cross entropy fused with the output head: the logits `x · W` are worked in vocabulary
 * chunks and never held whole.
 *
 * @param x Final hidden states `[tokens, hidden]`.
 * @param head Output head `[hidden, vocabulary]`.
 * @param targets The token that follows each; a negative target is ignored.
 * @returns The mean loss and the loss of each token.
 * @throws {ShapeMismatchError} If the sizes do not fit.
 * @throws {DeviceError} If a target is outside the vocabulary; the message names its position.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { crossEntropy, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const { loss } = crossEntropy(device.zeros([2, 4]), device.zeros([4, 10]), device.tokens([3, 7]));
 * assert(Math.abs((await read(loss))[0]! - Math.log(10)) < 1e-6);
 * ```
 */
export function crossEntropy<T extends number, H extends number, V extends number>(
  x: Tensor<"f32", readonly [T, H]>,
  head: Tensor<"f32", readonly [NoInfer<H>, V]>,
  targets: Tensor<"i32", readonly [NoInfer<T>]>,
): CrossEntropy<T> {
  const [states, weight, next] = operands("crossEntropy", x, head, targets);
  const [tokens, hidden] = states.shape;
  const vocabulary = weight.shape[1];
  if (
    states.shape.length !== 2 || weight.shape.length !== 2 || weight.shape[0] !== hidden ||
    next.size !== tokens
  ) {
    throw new ShapeMismatchError(
      `Cannot take the cross entropy of states ${showShape(states.shape)}, head ` +
        `${showShape(weight.shape)} and targets ${showShape(next.shape)}: they need ` +
        `[tokens, hidden], [hidden, vocabulary] and [tokens]`,
    );
  }
  const { memory } = states;
  const { kernels: k } = memory;
  const result = memory.allocate("f32", [2]);
  const loss = memory.view(result, [] as const);
  const tokenLoss = memory.allocate("f32", [tokens] as const);
  const lse = memory.allocate("f32", [tokens]);
  const sizes = [tokens, hidden, vocabulary] as const;
  k.check(
    k.symbols.remoe_cross_entropy_forward(
      k.handle,
      result.address,
      tokenLoss.address,
      lse.address,
      states.address,
      weight.address,
      next.address,
      ...sizes,
    ),
    "crossEntropy",
  );
  recordNode({
    operation: "crossEntropy",
    inputs: [states, weight],
    outputs: [loss],
    saved: [states, weight, next, lse, result],
    backward(gradients) {
      const dloss = gradients.of(loss);
      if (dloss === null) return;
      const dx = gradients.into(states);
      const dw = gradients.into(weight);
      k.check(
        k.symbols.remoe_cross_entropy_gradient(
          k.handle,
          dx?.tensor.address ?? 0n,
          dw?.tensor.address ?? 0n,
          dloss.address,
          result.address,
          lse.address,
          states.address,
          weight.address,
          next.address,
          ...sizes,
          (dx?.accumulate ?? 0) | (dw?.accumulate ?? 0) << 1,
        ),
        "gradient of crossEntropy",
      );
    },
  });
  return { loss, tokenLoss };
}
