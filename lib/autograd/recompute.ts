/** Gradient checkpointing: saves the memory of a forward pass by running it again. @module */

import { any, operands } from "../tensor/operands.ts";
import { requireFunction } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { recordNode } from "../tensor/recorder.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { isParameter } from "./parameter.ts";
import { isDifferentiable, Tape } from "./tape.ts";

/**
 * Runs a function without keeping its intermediates; the backward pass runs it again.
 *
 * The function must be deterministic apart from the device's random numbers, which are the same in
 * both runs, as dropout requires. Parameters used inside get their gradients as usual; any other
 * tensor that is not an input counts as a constant.
 *
 * @param body A function from the inputs to one tensor.
 * @param inputs Its inputs.
 * @returns What `body` returns.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, recompute, square, sum } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using tape = device.record();
 * const x = tape.watch(device.from([1, 2], [2]));
 * tape.backward(sum(recompute((v) => square(square(v)), x)));
 * assert((await read(tape.gradient(x))).join() === "4,32");
 * ```
 */
export function recompute<I extends readonly Tensor[], O extends Tensor>(
  body: (...inputs: I) => O,
  ...inputs: I
): O {
  requireFunction("recompute", "the body", body);
  const given = operands(
    "recompute",
    ...inputs.map((input) => any(input)),
  ) as readonly DeviceTensor[];
  const memory = given[0]?.memory;
  if (memory === undefined || memory.recorder === null) {
    const output = body(...inputs);
    resultOf(output);
    return output;
  }
  const tape = memory.recorder;
  const generator = memory.generator;
  let out: DeviceTensor;
  {
    using pause = memory.openPause();
    const output = memory.deferring(() => body(...inputs));
    out = resultOf(output);
    // Nothing was computed, so the gradient needs no node.
    if (given.includes(out) || isParameter(out)) return output;
    // A tensor that existed before is a constant here; its other uses keep their gradients.
    out = pause.storages.has(out.storage) ? pause.keep(out) : memory.view(out, out);
  }
  const draws = memory.generator.draws - generator.draws;
  // Parameters used by `body` are not inputs of this node. An anchor that is always tracked makes
  // the tape record the node even if no input is.
  const anchor = memory.view(out, out);
  anchor.tracker = tape;
  recordNode({
    operation: "recompute",
    inputs: [...given, anchor],
    outputs: [out],
    saved: given,
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      using inner = Tape.open(memory);
      // Fresh views leave the outer tape's marks untouched.
      const copies = given.map((input) => memory.view(input, input));
      const watched = copies.filter(isDifferentiable);
      for (const copy of watched) inner.watch(copy);
      const again = memory.drawingFrom(generator, () => {
        const result = resultOf(body(...copies as readonly Tensor[] as I));
        requireDraws(memory.generator.draws - generator.draws, draws);
        return result;
      });
      if (!sameShape(again.shape, out.shape) || again.dtype !== out.dtype) {
        throw new ShapeMismatchError(
          `Cannot recompute: the function returned ${described(out)} first and now ` +
            `${described(again)}; it must return the same for the same inputs`,
        );
      }
      inner.backwardFrom(again, dy, gradients.scale);
      copies.forEach((copy, i) => {
        if (isDifferentiable(copy)) gradients.add(given[i]!, inner.gradientOf(copy));
      });
    },
  });
  return out as unknown as O;
}

/** Throws if the second run drew a different number of random tensors than the first. */
function requireDraws(now: number, first: number): void {
  if (now === first) return;
  throw new Error(
    `Cannot recompute: the function drew random tensors ${first} times first and now ${now} ` +
      `times; it must do the same for the same inputs`,
  );
}

/** Checks that the function returned a tensor. */
function resultOf(output: Tensor): DeviceTensor {
  return operands("use the result of recompute,", any(output))[0];
}

function described({ dtype, shape }: DeviceTensor): string {
  return `${dtype} ${showShape(shape)}`;
}
