/** Gradient checkpointing: trade a second forward pass for the memory of the first. @module */

import { recordNode } from "../tensor/recorder.ts";
import { type DeviceTensor, internal, operands, type Tensor } from "../tensor/tensor.ts";
import { Tape } from "./tape.ts";

/**
 * Runs a function without keeping its intermediates; the backward pass runs it again.
 *
 * The function must give the same result for the same inputs. Parameters used inside get
 * their gradients as usual; any other tensor that is not among the inputs counts as a constant.
 *
 * @param body The function, from inputs to one tensor.
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
  const given = operands("recompute", ...inputs) as readonly DeviceTensor[];
  const memory = given[0]?.memory;
  if (memory === undefined || memory.recorder === null) return body(...inputs);
  const tape = memory.recorder;
  let output: O;
  {
    using pause = memory.openPause();
    output = pause.keep(body(...inputs));
  }
  const out = internal(output);
  // Nothing was computed: the gradient passes as it is.
  if (given.includes(out)) return output;
  // Parameters inside `body` are no inputs of this node, so the node records itself
  // through a stand-in that is always tracked.
  const anchor = memory.view(out, out.shape);
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
      // Fresh views, so that the outer tape's marks stay as they are.
      const copies = given.map((input) => memory.view(input, input.shape));
      for (const copy of copies) inner.watch(copy);
      const again = body(...copies as readonly Tensor[] as I);
      inner.backwardFrom(internal(again), dy);
      copies.forEach((copy, i) => gradients.add(given[i]!, internal(inner.gradient(copy))));
    },
  });
  return output;
}
