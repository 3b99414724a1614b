/** Finds what diverged first in a run. @module */

import { areFinite, type FirstNotFinite } from "../autograd/finite.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { AdamW } from "../optim/adamw.ts";
import { unwrapped } from "../tensor/operands.ts";
import { DivergenceError } from "./divergence_error.ts";

/**
 * The error for a step whose loss or gradient is not finite.
 *
 * @param what `loss` or `gradient`.
 * @param step The step.
 * @param observer Has observed a repetition of the step's micro-batches.
 * @param parameters The model's parameters, with the gradients of those micro-batches.
 */
export function stepDivergence(
  what: string,
  step: number,
  observer: FirstNotFinite,
  parameters: Iterable<Parameter>,
): DivergenceError {
  for (const { name, gradient } of parameters) {
    observer.check(unwrapped(gradient), () => `the sum of the gradients of ${name}`);
  }
  const { found, finite } = observer;
  const where = found === null
    ? ""
    : `: the first such tensor is ${found}, after ${finite} finite ones`;
  return new DivergenceError(`Cannot take step ${step}, its ${what} is not finite${where}`, {
    step,
    tensor: found ?? `the ${what}`,
  });
}

/**
 * Finds the first weight or moment that is not finite. An update with finite gradients can still
 * overflow, and a checkpoint of the result would be useless.
 *
 * @param optimizer Holds the parameters and their moments.
 * @returns Which one, in words; null if all are finite.
 */
export function firstUnsound(optimizer: AdamW): string | null {
  const named = optimizer.moments().flatMap(({ parameter, first, second }) => [
    { name: `the weight ${parameter.name}`, tensor: unwrapped(parameter) },
    { name: `the first moment of ${parameter.name}`, tensor: unwrapped(first) },
    { name: `the second moment of ${parameter.name}`, tensor: unwrapped(second) },
  ]);
  // Nearly always all are finite, which a single call tells.
  if (areFinite(named.map(({ tensor }) => tensor))) return null;
  return named.find(({ tensor }) => !areFinite([tensor]))?.name ?? null;
}

/**
 * The error for a result of the model that is not finite.
 *
 * @param what The result; blamed unless a weight or moment is not finite.
 * @param step Steps taken so far.
 * @param optimizer Holds the parameters and their moments.
 * @param cause The underlying error, if any.
 */
export function resultDivergence(
  what: string,
  step: number,
  optimizer: AdamW,
  cause?: unknown,
): DivergenceError {
  const tensor = firstUnsound(optimizer) ?? what;
  const verb = tensor.startsWith("the logits") ? "are" : "is";
  const message = `Cannot go on after step ${step}: ${tensor} ${verb} not finite`;
  return new DivergenceError(message, { step, tensor, cause });
}
