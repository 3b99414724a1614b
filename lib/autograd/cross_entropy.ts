/** Cross entropy fused with the output head. @module */

import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { i32, operands, real, requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { checkedShape, showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { accumulateMask, writeGradients } from "./contribute.ts";

/**
 * Row stride of kept logits. It is never a multiple of 4 KiB, at which the rows that a product reads
 * together would evict each other from the cache.
 */
function logitStride(vocabulary: number, dtype: Real): number {
  const bytes = DTYPE_BYTES[dtype];
  return bytes * vocabulary % 4096 === 0 ? vocabulary + 64 / bytes : vocabulary;
}

/**
 * Counts the elements of the logits that {@linkcode crossEntropy} keeps for its gradient.
 *
 * @param tokens Rows of the head's input.
 * @param vocabulary Columns of the head.
 * @param dtype Their type.
 * @param most The most bytes that they may take, see `DeviceMemory.logitBytes`.
 * @returns The count; 0 if they would take more and are recomputed instead.
 */
export function keptLogits(tokens: number, vocabulary: number, dtype: Real, most: number): number {
  const elements = tokens * logitStride(vocabulary, dtype);
  return DTYPE_BYTES[dtype] * elements <= most ? elements : 0;
}

/** Result of {@linkcode crossEntropy}. */
export interface CrossEntropy<T extends number = number> {
  /** Mean of `-ln p(target)` over the targets not ignored, in nats. */
  readonly loss: Tensor<"f32", readonly []>;
  /** Loss per token, in nats; 0 for ignored targets. */
  readonly tokenLoss: Tensor<"f32", readonly [T]>;
}

/**
 * Cross entropy fused with the output head: the logits `x · W` are processed in chunks of the
 * vocabulary. On a tape, logits of up to a sixteenth of the device's memory are kept for the
 * gradient, in the type of `x`; larger ones are recomputed.
 *
 * @param x Final hidden states `[tokens, hidden]`, f32 or bf16.
 * @param head Output head `[hidden, vocabulary]`, of the same type.
 * @param targets The next token of each; negative targets are ignored.
 * @returns The mean loss and the loss per token, in fp32.
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
export function crossEntropy<
  T extends number,
  H extends number,
  V extends number,
  D extends Real = "f32",
>(
  x: Tensor<D, readonly [T, H]>,
  head: Tensor<NoInfer<D>, readonly [NoInfer<H>, V]>,
  targets: Tensor<"i32", readonly [NoInfer<T>]>,
): CrossEntropy<T> {
  const [states, weight, next] = operands(
    "take the crossEntropy of",
    real<Tensor<Real, readonly [T, H]>>(x),
    real<Tensor<Real, readonly [H, V]>>(head),
    i32(targets),
  );
  requireOneType("take the crossEntropy of", states, weight);
  const [tokens, hidden] = states.shape;
  const vocabulary = weight.shape[1];
  if (
    states.shape.length !== 2 || weight.shape.length !== 2 || weight.shape[0] !== hidden ||
    next.shape.length !== 1 || next.size !== tokens
  ) {
    throw new ShapeMismatchError(
      `Cannot take the cross entropy of states ${showShape(states.shape)}, head ` +
        `${showShape(weight.shape)} and targets ${showShape(next.shape)}: they need ` +
        `[tokens, hidden], [hidden, vocabulary] and [tokens]`,
    );
  }
  const { memory, dtype } = states;
  const { kernels: k } = memory;
  const result = memory.allocate("f32", [2]);
  const loss = memory.view(result, checkedShape([] as const));
  const tokenLoss = memory.allocate("f32", [tokens] as const);
  const normalizer = memory.allocate("f32", [tokens, 2]);
  const elements = memory.recorder === null
    ? 0
    : keptLogits(tokens, vocabulary, dtype, memory.logitBytes);
  const logits = elements > 0 ? memory.allocate(dtype, [elements]) : null;
  const sizes = [tokens, hidden, vocabulary, logitStride(vocabulary, dtype)] as const;
  k.check(
    k.symbols.remoe_cross_entropy_forward(
      k.handle,
      DTYPE_CODE[dtype],
      result.address,
      tokenLoss.address,
      normalizer.address,
      logits?.address ?? 0n,
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
    saved: [states, weight, next, normalizer, result, ...logits === null ? [] : [logits]],
    backward(gradients) {
      const dloss = gradients.of(loss);
      if (dloss === null) return;
      writeGradients(gradients, [states, weight], [dtype, "f32"], (targets) => {
        const [dx, dw] = targets;
        k.check(
          k.symbols.remoe_cross_entropy_gradient(
            k.handle,
            DTYPE_CODE[dtype],
            dx?.tensor.address ?? 0n,
            dw?.tensor.address ?? 0n,
            dloss.address,
            result.address,
            normalizer.address,
            logits?.address ?? 0n,
            states.address,
            weight.address,
            next.address,
            ...sizes,
            accumulateMask(targets),
          ),
          "gradient of crossEntropy",
        );
      });
      logits?.[Symbol.dispose]();
    },
  });
  return { loss, tokenLoss };
}
