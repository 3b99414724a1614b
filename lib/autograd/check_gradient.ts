/** Checks derivatives against finite differences. @module */

import {
  requireFinite,
  requireFunction,
  requireOptions,
  requireWhole,
  shown,
} from "../arguments.ts";
import type { Real } from "../tensor/dtype.ts";
import { operands, real, realOperand } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { download, write } from "../tensor/transfer.ts";
import { multiply } from "./arithmetic.ts";
import { inFp32 } from "./layout.ts";
import { sum } from "./reduce.ts";
import { Tape } from "./tape.ts";

/** Settings of {@linkcode checkGradient}. */
export interface CheckGradientOptions {
  /**
   * Distance an element is moved each way. Default 0.01, or 0.125 if an input is bf16: rounding
   * dominates smaller steps, and curvature larger ones.
   */
  step?: number;
  /** Elements checked per input, evenly spaced. Default 64. */
  samples?: number;
}

/** The element where a gradient deviates most from finite differences. */
export interface GradientDeviation {
  /** Index of the input, from 0. */
  readonly input: number;
  /** Index of the element, row-major. */
  readonly index: number;
  /** Its derivative by the backward pass. */
  readonly backward: number;
  /** Its derivative by finite differences. */
  readonly difference: number;
  /** Their distance, relative to the largest element of that input's gradient. */
  readonly error: number;
}

/**
 * Compares the gradients of a function with central finite differences.
 *
 * The function's result is reduced to a sum with fixed weights, so that every element of it counts.
 * Differences of fp32 results are good to about three digits: for a smooth function, an `error`
 * below 0.01 means a correct derivative, and a wrong one shows as 0.1 or more. Of bf16 results one
 * digit is left: check the function in fp32 first, and then that bf16 stays below 0.1. Keep inputs
 * away from kinks, such as a ReLU's zero.
 *
 * @param body A deterministic function from the inputs to one f32 or bf16 tensor.
 * @param inputs At least one f32 or bf16 tensor; they are not modified.
 * @param options Step and number of elements.
 * @returns The largest deviation found.
 * @throws {RangeError} If there is no input, an option is not positive, or bf16 rounds the step away.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { checkGradient, defineOperation, Device, multiply, scale, square, type Tensor } from "@remoe/remoe";
 *
 * type Row = Tensor<"f32", readonly [3]>;
 * const squared = (factor: number) =>
 *   defineOperation({
 *     name: "squared",
 *     forward: (x: Row) => square(x),
 *     backward: ({ inputs: [x], gradient }) => [multiply(scale(x, factor), gradient)],
 *   });
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, -2, 3], [3]);
 * assert((await checkGradient(squared(2), [x])).error < 0.01);
 * assert((await checkGradient(squared(3), [x])).error > 0.1); // d(x²) is not 3x
 * ```
 */
export function checkGradient<const I extends readonly Tensor<Real>[]>(
  body: (...inputs: I) => Tensor<Real>,
  inputs: I,
  options: CheckGradientOptions = {},
): Promise<GradientDeviation> {
  requireFunction("check a gradient", "the body", body);
  requireOptions("check a gradient", options, { step: true, samples: true });
  if (!Array.isArray(inputs)) {
    throw new TypeError(`Cannot check a gradient: inputs are ${shown(inputs)}, expected an array`);
  }
  const given = operands(
    "check the gradient at",
    ...inputs.map((input) => real<Tensor<Real>>(input)),
  ) as readonly DeviceTensor<Real>[];
  const usual = given.some(({ dtype }) => dtype === "bf16") ? 0.125 : 1e-2;
  const { step = usual, samples = 64 } = options;
  requireFinite("check a gradient", "step", step, { above: 0 });
  requireWhole("check a gradient", "samples", samples, { least: 1 });
  const memory = given[0]?.memory;
  if (memory === undefined) {
    throw new RangeError("Cannot check a gradient: give at least one input");
  }
  using _scope = memory.openPause();
  const copies = given.map(({ dtype, shape }) => memory.allocate(dtype, shape));
  const values = given.map((input) => download(input));
  copies.forEach((copy, i) => write(copy, values[i]!));
  const run = (): Tensor<Real> => body(...copies as readonly Tensor[] as I);

  const gradients = backwardOf(run, copies);
  let worst: GradientDeviation = { input: 0, index: 0, backward: 0, difference: 0, error: 0 };
  copies.forEach((copy, input) => {
    const gradient = gradients[input]!;
    const moved = values[input]!.slice();
    /** The result with one element moved, and where that went: bf16 rounds it. */
    const weighted = (index: number, by: number): { result: number; at: number } => {
      moved[index] = values[input]![index]! + by;
      write(copy, moved);
      moved[index] = values[input]![index]!;
      using _temporaries = memory.openScope();
      const result = weightedSum(download(realOperand("check the gradient of", run())));
      return { result, at: copy.dtype === "bf16" ? download(copy)[index]! : by };
    };
    const checked = spread(copy.size, samples).map((index) => {
      const [above, below] = [weighted(index, step), weighted(index, -step)];
      if (above.at === below.at) {
        throw new RangeError(
          `Cannot check a gradient: bf16 rounds a step of ${step} away at element ${index} of ` +
            `input ${input}, ${values[input]![index]}; take a larger one`,
        );
      }
      return { index, difference: (above.result - below.result) / (above.at - below.at) };
    });
    write(copy, values[input]!);
    const largest = checked.reduce(
      (most, { difference }) => Math.max(most, Math.abs(difference)),
      gradient.reduce((most, value) => Math.max(most, Math.abs(value)), Number.MIN_VALUE),
    );
    for (const { index, difference } of checked) {
      const backward = gradient[index]!;
      const error = Math.abs(backward - difference) / largest;
      // A NaN error is the worst.
      if (!Number.isNaN(worst.error) && !(error <= worst.error)) {
        worst = { input, index, backward, difference, error };
      }
    }
  });
  return Promise.resolve(worst);
}

/** Gradients of the weighted sum by the backward pass. */
function backwardOf(
  run: () => Tensor<Real>,
  inputs: readonly DeviceTensor<Real>[],
): Float32Array[] {
  using tape = Tape.open(inputs[0]!.memory);
  for (const input of inputs) tape.watch(input);
  const result = inFp32(realOperand("check the gradient of", run()));
  const weights = result.memory.allocate("f32", result.shape);
  write(weights, Array.from({ length: result.size }, (_, i) => weightOf(i)));
  tape.backward(sum(multiply(result, weights)) as Tensor<"f32", readonly []>);
  return inputs.map((input) =>
    download(realOperand("check the gradient at", tape.gradient(input)))
  );
}

/** Weights of mixed sign and size, without a pattern that could cancel in sums over rows. */
function weightOf(index: number): number {
  return Math.fround(Math.sin(1 + 2.399963 * index) + 0.25);
}

/** Sums in float64, so that the difference of two sums keeps its precision. */
function weightedSum(values: Float32Array): number {
  return values.reduce((total, value, i) => total + value * weightOf(i), 0);
}

/** At most `count` evenly spaced indices below `size`. */
function spread(size: number, count: number): number[] {
  const picked = Math.min(size, count);
  return Array.from({ length: picked }, (_, i) => Math.floor(i * size / picked));
}
