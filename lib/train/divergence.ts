/** What went wrong first in a run that diverges. @module */

import { areFinite, type FirstNotFinite } from "../autograd/finite.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { AdamW } from "../optim/adamw.ts";
import { unwrapped } from "../tensor/operands.ts";
import { DivergenceError } from "./divergence_error.ts";

/**
 * The error of a step whose loss or gradient is not finite.
 *
 * @param what Which of the two.
 * @param step The step.
 * @param observer Has seen the step's micro-batches taken again.
 * @param parameters The model's, with the gradients of those micro-batches.
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
 * The first weight or moment that is not finite: an update by finite gradients can still overflow,
 * and what is saved then would be good for nothing.
 *
 * @param optimizer Has the parameters and their moments.
 * @returns It in words; null where all are finite.
 */
export function firstUnsound(optimizer: AdamW): string | null {
  const named = optimizer.moments().flatMap(({ parameter, first, second }) => [
    { name: `the weight ${parameter.name}`, tensor: unwrapped(parameter) },
    { name: `the first moment of ${parameter.name}`, tensor: unwrapped(first) },
    { name: `the second moment of ${parameter.name}`, tensor: unwrapped(second) },
  ]);
  // Nearly always all are sound, which one call finds out.
  if (areFinite(named.map(({ tensor }) => tensor))) return null;
  return named.find(({ tensor }) => !areFinite([tensor]))?.name ?? null;
}
