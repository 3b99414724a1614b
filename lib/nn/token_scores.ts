/** Log-probabilities of tokens, without their logits. @module */

import { writtenTensor } from "../autograd/made_tensors.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { i32, operands, real, requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Scores of the tokens that follow others: the softmax is over every logit of the vocabulary. All
 * three are fp32 of unrounded logits, whatever the model's type.
 *
 * Where no score was asked for (a negative target), or the logits are no distribution (one is NaN
 * or infinite), both log-probabilities are NaN and `greedy` is -1.
 */
export interface TokenScores<T extends number = number> {
  /** ln p of each target, at most 0. */
  readonly logProbability: Tensor<"f32", readonly [T]>;
  /** The most probable token in place of each target; of equal ones, the first. */
  readonly greedy: Tensor<"i32", readonly [T]>;
  /** ln p of that token; where it is the target, the identical number. */
  readonly greedyLogProbability: Tensor<"f32", readonly [T]>;
}

/**
 * Scores targets by an output head without holding `[T, vocabulary]`.
 *
 * `listed` names the tokens to score, at least one; by default all that have a target.
 */
export function tokenScores<T extends number, R extends Real>(
  x: Tensor<R, readonly [T, number]>,
  head: Tensor<R, readonly [number, number]>,
  targets: Tensor<"i32", readonly [NoInfer<T>]>,
  listed?: readonly number[],
): TokenScores<T> {
  const operation = "score tokens with";
  const [states, weight, next] = operands(
    operation,
    real<Tensor<Real, readonly [T, number]>>(x),
    real<Tensor<Real, readonly [number, number]>>(head),
    i32(targets),
  );
  requireOneType(operation, states, weight);
  const [tokens, hidden] = states.shape;
  if (next.shape.length !== 1 || next.size !== tokens) {
    throw new ShapeMismatchError(
      `Cannot score tokens with states ${showShape(states.shape)} and targets ` +
        `${showShape(next.shape)}: they need [tokens, hidden] and [tokens]`,
    );
  }
  const { memory } = states;
  const { kernels: k } = memory;
  const logProbability = memory.allocate("f32", [tokens] as const);
  const greedy = memory.allocate("i32", [tokens] as const);
  const greedyLogProbability = memory.allocate("f32", [tokens] as const);
  const rows = listed === undefined
    ? null
    : writtenTensor(memory, "i32", Int32Array.from(listed), [listed.length]);
  k.check(
    k.symbols.remoe_token_scores(
      k.handle,
      DTYPE_CODE[states.dtype],
      logProbability.address,
      greedy.address,
      greedyLogProbability.address,
      states.address,
      weight.address,
      next.address,
      rows?.address ?? 0n,
      listed?.length ?? tokens,
      tokens,
      hidden,
      weight.shape[1],
    ),
    "score tokens",
  );
  rows?.[Symbol.dispose]();
  // Recorded only to fail: without a node, the gradient would silently leave out the scores.
  recordNode({
    operation: "token scores",
    inputs: [states, weight],
    outputs: [logProbability, greedyLogProbability],
    saved: [],
    backward() {
      throw new Error("Cannot differentiate scores of tokens: model.loss() has a gradient");
    },
  });
  return { logProbability, greedy, greedyLogProbability };
}
