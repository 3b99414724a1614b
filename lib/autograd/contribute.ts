/** Helpers that accumulate gradients of an operation's inputs. @module */

import { ReductionCode } from "../ffi/codes.ts";
import { DTYPE_CODE, type GradientType, gradientType } from "../tensor/dtype.ts";
import type { Gradients, GradientTarget } from "../tensor/recorder.ts";
import { sameShape, unbroadcastLayout } from "../tensor/shape_math.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate, copyInto } from "../tensor/transfer.ts";

/** Adds a contribution to a target, or writes it there if it is the first. */
export function addTo(target: GradientTarget, contribution: DeviceTensor): void {
  if (target.accumulate === 0) copyInto(target.tensor, contribution);
  else accumulate(target.tensor, contribution, 1);
}

/**
 * Adds what `compute` writes into a tensor of shape `shape` to the gradient of `input`, summed over
 * the axes along which the input was broadcast: y = broadcast(x) gives dx = sum of dy over the
 * copies. The tensor has the type of the input's gradients.
 */
export function contribute(
  gradients: Gradients,
  input: DeviceTensor,
  shape: Shape,
  compute: (out: DeviceTensor) => void,
): void {
  const target = gradients.into(input);
  if (target === null) return;
  const dtype = gradientType(input.dtype);
  const isSame = sameShape(input.shape, shape);
  if (isSame && target.accumulate === 0 && target.tensor.dtype === dtype) {
    return compute(target.tensor);
  }
  const whole = input.memory.allocate(dtype, shape);
  compute(whole);
  if (isSame) return addTo(target, whole);
  const { kernels: k } = input.memory;
  k.check(
    k.symbols.remoe_reduce(
      k.handle,
      ReductionCode.sum,
      DTYPE_CODE[target.tensor.dtype],
      target.tensor.address,
      inType(target.tensor.dtype, whole).address,
      unbroadcastLayout(shape, input.shape),
      target.accumulate,
    ),
    "sum of a broadcast gradient",
  );
}

/** A tensor in another type, or itself if it has that type. */
function inType(dtype: GradientType, tensor: DeviceTensor): DeviceTensor {
  if (tensor.dtype === dtype) return tensor;
  const converted = tensor.memory.allocate(dtype, tensor.shape);
  copyInto(converted, tensor);
  return converted;
}

/**
 * Lets a kernel write the gradients of several inputs in one call. A gradient goes to separate
 * memory, and is added afterwards, where the kernel could not write it in place: if one tensor
 * appears twice, the kernel would overwrite its own result, or add to memory it has not written
 * yet; and the target may be of another type than the kernel writes.
 *
 * @param gradients The pass.
 * @param inputs The inputs.
 * @param dtypes The type in which the kernel writes the gradient of each input.
 * @param write Calls the kernel; a target is null where no gradient is needed.
 */
export function writeGradients(
  gradients: Gradients,
  inputs: readonly DeviceTensor[],
  dtypes: readonly GradientType[],
  write: (targets: readonly (GradientTarget | null)[]) => void,
): void {
  const later: { readonly target: GradientTarget; readonly own: DeviceTensor }[] = [];
  const targets = inputs.map((input, i): GradientTarget | null => {
    const target = gradients.into(input);
    if (target === null) return null;
    const dtype = dtypes[i]!;
    if (target.tensor.dtype === dtype && inputs.indexOf(input) === i) return target;
    const own = input.memory.allocate(dtype, input.shape);
    later.push({ target, own });
    return { tensor: own, accumulate: 0 };
  });
  write(targets);
  for (const { target, own } of later) addTo(target, own);
}

/** The same for a kernel with one gradient, in the type of the input's gradients by default. */
export function writeGradient(
  gradients: Gradients,
  input: DeviceTensor,
  write: (target: GradientTarget) => void,
  dtype: GradientType = gradientType(input.dtype),
): void {
  const target = gradients.into(input);
  if (target === null) return;
  if (target.tensor.dtype === dtype) return write(target);
  const own = input.memory.allocate(dtype, input.shape);
  write({ tensor: own, accumulate: 0 });
  addTo(target, own);
}

/** Accumulate flags for a kernel with several targets: one bit each, in order. */
export function accumulateMask(targets: readonly (GradientTarget | null)[]): number {
  return targets.reduce((mask, target, i) => mask | (target?.accumulate ?? 0) << i, 0);
}
