/** Means of hidden states over segments and prompts. @module */

import { multiply } from "../autograd/arithmetic.ts";
import { embedding } from "../autograd/embedding.ts";
import { reshape } from "../autograd/layout.ts";
import { writtenTensor } from "../autograd/made_tensors.ts";
import { mean, sum } from "../autograd/reduce.ts";
import { concatenate, slice } from "../autograd/slice.ts";
import { largest } from "../extremes.ts";
import { operands } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { segmentCount, segmentLength } from "./segments.ts";

type Matrix = Tensor<"f32", readonly [number, number]>;
type Cube = Tensor<"f32", readonly [number, number, number]>;

/**
 * The mean that each segment is routed by: that of the segment before it. The first segment of a
 * sequence is routed by its own, without a gradient: it would otherwise learn to pass on what its
 * tokens are to predict.
 *
 * @param x Hidden states `[T, D]`.
 * @param sequence Tokens per sequence, a divisor of T.
 * @returns One row per segment, sequence by sequence.
 */
export function routingMeans(x: DeviceTensor<"f32">, sequence: number): Matrix {
  const [tokens = 0, hidden = 0] = x.shape;
  const sequences = tokens / sequence;
  const [length, count] = [segmentLength(sequence), segmentCount(sequence)];
  const whole = reshape(x, [sequences, sequence, hidden]);
  if (count === 1) return withoutGradient(mean(whole, { axis: 1 }) as Matrix);
  const before = count - 1;
  const means = sequence % length === 0
    ? slice(meansOf(x, [sequences, count, length, hidden]), { axis: 1, end: before })
    : meansOf(slice(whole, { axis: 1, end: before * length }), [
      ...[sequences, before, length, hidden] as const,
    ]);
  const own = withoutGradient(slice(means, { axis: 1, end: 1 }));
  return reshape(concatenate([own as Cube, means], { axis: 1 }), [sequences * count, hidden]);
}

function meansOf(x: Tensor<"f32">, shape: readonly [number, number, number, number]): Cube {
  return mean(reshape(x, shape), { axis: 2 }) as Cube;
}

/**
 * The mean of each prompt.
 *
 * @param x Hidden states `[T, D]`, one prompt after the other.
 * @param counts Tokens of each prompt, T in all.
 * @returns `[counts.length, D]`.
 */
export function promptMeans(x: DeviceTensor<"f32">, counts: readonly number[]): Matrix {
  const longest = largest(counts);
  const [, hidden = 0] = x.shape;
  let start = 0;
  // Padded by states of weight 0: a prompt's last, which is as finite as its mean.
  const places = counts.flatMap((count) => {
    const first = start;
    start += count;
    return Array.from({ length: longest }, (_, t) => first + Math.min(t, count - 1));
  });
  const shares = counts.flatMap((count) =>
    Array.from({ length: longest }, (_, t) => t < count ? 1 / count : 0)
  );
  const shape = [counts.length, longest] as const;
  const rows = writtenTensor(x.memory, "i32", Int32Array.from(places), [places.length] as const);
  const weights = writtenTensor(x.memory, "f32", shares, [...shape, 1] as const);
  const states = embedding(x as Tensor<"f32"> as Matrix, rows);
  const shared = multiply(reshape(states, [...shape, hidden]), weights);
  return sum(shared as Tensor<"f32">, { axis: 1 }) as Matrix;
}

/** The same numbers, through which no gradient flows. */
function withoutGradient<T extends Tensor<"f32">>(tensor: T): T {
  const [inner] = operands("stop a gradient at", tensor as Tensor<"f32">);
  return inner.memory.view(inner, inner) as unknown as T;
}
