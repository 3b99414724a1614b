/** Helpers that accumulate gradients of an operation's inputs. @module */

import { ReductionCode } from "../ffi/codes.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import type { Gradients, GradientTarget } from "../tensor/recorder.ts";
import { sameShape, unbroadcastLayout } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate } from "../tensor/transfer.ts";

/**
 * Adds what `compute` writes into a tensor of shape `shape` to the gradient of `input`, summed over
 * the axes along which the input was broadcast: y = broadcast(x) gives dx = sum of dy over the
 * copies.
 */
export function contribute(
  gradients: Gradients,
  input: DeviceTensor,
  shape: Shape,
  compute: (out: DeviceTensor) => void,
): void {
  const target = gradients.into(input);
  if (target === null) return;
  const same = sameShape(input.shape, shape);
  if (same && target.accumulate === 0) return compute(target.tensor);
  const whole = input.memory.allocate("f32", shape);
  compute(whole);
  if (same) return accumulate(target.tensor, whole, 1);
  const { kernels: k } = input.memory;
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode.sum,
      DTYPE_CODE.f32,
      target.tensor.address,
      whole.address,
      unbroadcastLayout(shape, input.shape),
      target.accumulate,
    ),
    "sum of a broadcast gradient",
  );
}

/**
 * Lets a kernel write the gradients of several inputs in one call. If one tensor appears twice, its
 * second gradient is written to separate memory and added afterwards: in shared memory the kernel
 * would overwrite its own result, or add to memory it has not written yet.
 */
export function writeGradients(
  gradients: Gradients,
  inputs: readonly DeviceTensor[],
  write: (targets: readonly (GradientTarget | null)[]) => void,
): void {
  const later: { readonly target: DeviceTensor; readonly own: DeviceTensor }[] = [];
  const targets = inputs.map((input, i): GradientTarget | null => {
    const target = gradients.into(input);
    if (target === null || inputs.indexOf(input) === i) return target;
    const own = input.memory.allocate("f32", input.shape);
    later.push({ target: target.tensor, own });
    return { tensor: own, accumulate: 0 };
  });
  write(targets);
  for (const { target, own } of later) accumulate(target, own, 1);
}

/** Accumulate flags for a kernel with several targets: one bit each, in order. */
export function accumulateMask(targets: readonly (GradientTarget | null)[]): number {
  return targets.reduce((mask, target, i) => mask | (target?.accumulate ?? 0) << i, 0);
}
