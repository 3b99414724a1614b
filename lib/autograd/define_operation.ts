/** User-defined operations. @module */

import { requireFunction, requireOptions, requireText, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import type { GradientType, Real } from "../tensor/dtype.ts";
import { any, operands, real, requireDevice } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { sameShape, showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { isParameter } from "./parameter.ts";

/** Arguments of a user-defined derivative. */
export interface OperationGradient<I extends readonly Tensor[], O extends Tensor> {
  /** The inputs of the forward pass. */
  readonly inputs: I;
  /** The result of the forward pass. */
  readonly output: O;
  /** The gradient of the loss with respect to the result, of its shape; bf16 if that is. */
  readonly gradient: Tensor<GradientType<O["dtype"]>, O["shape"]>;
}

/**
 * A differentiable operation: its forward pass and its derivative.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { type OperationDefinition, scale, type Tensor } from "@remoe/remoe";
 *
 * // The identity with its gradient reversed, as in adversarial training.
 * type Any = Tensor<"f32">;
 * const reversed: OperationDefinition<readonly [Any], Any> = {
 *   name: "reversed",
 *   forward: (x) => scale(x, 1),
 *   backward: ({ gradient }) => [scale(gradient, -1)],
 * };
 * assert(typeof reversed.forward === "function" && typeof reversed.backward === "function");
 * ```
 */
export interface OperationDefinition<I extends readonly Tensor[], O extends Tensor> {
  /** Name for error messages. */
  readonly name: string;
  /**
   * Computes the result from other operations; nothing inside is recorded.
   *
   * @param inputs The tensors the operation is called with.
   * @returns A new tensor: not an input, a parameter or a tensor already on a tape.
   */
  forward(...inputs: I): O;
  /**
   * Computes the gradient of each input, of that input's shape.
   *
   * @param given Inputs, output, and the output's gradient. Other operations may share it: write
   * only into a copy of it.
   * @returns One gradient per input, in order; null, or left off the end, for inputs without one. Of
   * a bf16 input it may be f32, and is then rounded once it is added.
   */
  backward(given: OperationGradient<I, O>): readonly (Tensor<Real> | null)[];
}

/**
 * Defines an operation with a custom derivative.
 *
 * @param definition Name, forward and backward.
 * @returns A function that runs the operation and records it on the active tape.
 * @throws {ShapeMismatchError} In the backward pass, if a gradient's shape is not its input's.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { defineOperation, Device, multiply, read, scale, square, sum, type Tensor } from "@remoe/remoe";
 *
 * // x² with its derivative 2x · dy
 * const squared = defineOperation({
 *   name: "squared",
 *   forward: (x: Tensor<"f32", readonly [2]>) => square(x),
 *   backward: ({ inputs: [x], gradient }) => [multiply(scale(x, 2), gradient)],
 * });
 *
 * using device = await Device.open({ kind: "cpu" });
 * using tape = device.record();
 * const x = tape.watch(device.from([3, 4], [2]));
 * tape.backward(sum(squared(x)));
 * assert((await read(tape.gradient(x))).join() === "6,8");
 * ```
 */
export function defineOperation<const I extends readonly Tensor[], O extends Tensor>(
  definition: OperationDefinition<I, O>,
): (...inputs: I) => O {
  requireOptions("define an operation", definition);
  const { name, forward: run, backward: derive } = definition;
  requireText("define an operation", "name", name);
  requireFunction("define an operation", "forward", run);
  requireFunction("define an operation", "backward", derive);
  const forward = run.bind(definition);
  const backward = derive.bind(definition);
  return (...inputs: I): O => {
    const given = operands(
      name,
      ...inputs.map((input) => any(input)),
    ) as readonly DeviceTensor[];
    const out = runUnrecorded(name, given, () => forward(...inputs));
    const output = out as unknown as O;
    recordNode({
      operation: name,
      inputs: given,
      outputs: [out],
      saved: [...given, out],
      backward(gradients) {
        const gradient = gradients.of(out);
        if (gradient === null) return;
        // The memory may be shared: pass a view, which is safe to dispose of, and detect writes.
        const shared = gradient.memory.view(gradient, gradient);
        const { storage } = gradient;
        const { writes } = storage;
        const results = backward({
          inputs,
          output,
          gradient: shared as unknown as OperationGradient<I, O>["gradient"],
        });
        if (storage.writes !== writes) {
          throw new Error(
            `Cannot use the gradients that ${name} returned: its backward wrote into the gradient ` +
              `it was given, which other operations share; write into a copy, scale(gradient, 1)`,
          );
        }
        if (!Array.isArray(results) || results.length > given.length) {
          throw new TypeError(
            `Cannot use the gradients that ${name} returned: they are ${shown(results)}, ` +
              `expected an array of at most ${given.length}`,
          );
        }
        given.forEach((input, i) => {
          const result = results[i];
          if (result === null || result === undefined) return;
          gradients.add(input, fitting(name, input, result));
        });
      },
    });
    return output;
  };
}

/** Runs `body` with recording suspended and keeps its result. */
function runUnrecorded(
  name: string,
  given: readonly DeviceTensor[],
  body: () => Tensor,
): DeviceTensor {
  const resultOf = (output: Tensor) =>
    operands(`use the result of ${name},`, any<Tensor>(output))[0];
  const memory = given[0]?.memory;
  if (memory === undefined) return resultOf(body());
  using pause = memory.openPause();
  const out = resultOf(body());
  requireDevice(`use the result of ${name},`, memory, out);
  if (pause.storages.has(out.storage)) return pause.keep(out);
  if (given.includes(out) || isParameter(out) || out.tracker !== null) {
    const what = given.includes(out)
      ? "one of its inputs"
      : "a parameter, or a tensor that a tape knows already";
    throw new Error(`Cannot record ${name}: its forward returned ${what}; return a new tensor`);
  }
  // It existed before: a view keeps this result's gradient apart from that of its other uses.
  return memory.view(out, out);
}

function fitting(
  name: string,
  input: DeviceTensor,
  result: Tensor<Real>,
): DeviceTensor<Real> {
  const [gradient] = operands(`use the gradient that ${name} returned,`, real(result));
  requireDevice(`use the gradient that ${name} returned,`, input.memory, gradient);
  if (!sameShape(input.shape, gradient.shape)) {
    throw new ShapeMismatchError(
      `Cannot use the gradient that ${name} returned: its shape is ${showShape(gradient.shape)}, ` +
        `its input's ${showShape(input.shape)}`,
    );
  }
  return gradient;
}
