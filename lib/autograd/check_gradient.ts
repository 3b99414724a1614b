/** Derivatives held against finite differences. @module */

import {
  requireFinite,
  requireFunction,
  requireOptions,
  requireWhole,
  shown,
} from "../arguments.ts";
import { operands } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { download, write } from "../tensor/transfer.ts";
import { multiply } from "./arithmetic.ts";
import { sum } from "./reduce.ts";
import { Tape } from "./tape.ts";

/** Settings of {@linkcode checkGradient}. */
export interface CheckGradientOptions {
  /**
   * How far an element is moved each way. Default 0.01: in fp32 a smaller step drowns in rounding,
   * a larger one shows the curvature.
   */
  step?: number;
  /** Elements checked of each input, spread evenly over it. Default 64. */
  samples?: number;
}

/** Where a gradient is furthest from what finite differences say. */
export interface GradientDeviation {
  /** Which input, from 0. */
  readonly input: number;
  /** Which of its elements, row-major. */
  readonly index: number;
  /** What the backward pass says. */
  readonly backward: number;
  /** What the finite difference says. */
  readonly difference: number;
  /** Their distance, as a share of the largest element of that input's gradient. */
  readonly error: number;
}

/**
 * Compares the gradients of a function with central finite differences of it.
 *
 * The function's result is weighted with fixed numbers and summed, so that every element of it
 * counts. Differences of fp32 results are good to about three digits: an `error` below 0.01 is a
 * right derivative of a smooth function, a wrong one shows as 0.1 or more. Keep inputs away from
 * kinks, like the zero of a ReLU.
 *
 * @param body The function, from tensors to one fp32 tensor; the same for the same inputs.
 * @param inputs At least one fp32 tensor; they are left as they are.
 * @param options Step and number of elements.
 * @returns The worst deviation found.
 * @throws {RangeError} If there is no input, or an option is no positive number.
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
export function checkGradient<const I extends readonly Tensor<"f32">[]>(
  body: (...inputs: I) => Tensor<"f32">,
  inputs: I,
  options: CheckGradientOptions = {},
): Promise<GradientDeviation> {
  requireFunction("check a gradient", "the body", body);
  requireOptions("check a gradient", options, { step: true, samples: true });
  if (!Array.isArray(inputs)) {
    throw new TypeError(`Cannot check a gradient: inputs are ${shown(inputs)}, expected an array`);
  }
  const { step = 1e-2, samples = 64 } = options;
  requireFinite("check a gradient", "step", step, { above: 0 });
  requireWhole("check a gradient", "samples", samples, { least: 1 });
  const given = operands("check the gradient at", ...inputs) as readonly DeviceTensor<"f32">[];
  const memory = given[0]?.memory;
  if (memory === undefined) {
    throw new RangeError("Cannot check a gradient: give at least one input");
  }
  using _scope = memory.openPause();
  const copies = given.map(({ shape }) => memory.allocate("f32", shape));
  const values = given.map((input) => download(input));
  copies.forEach((copy, i) => write(copy, values[i]!));
  const run = (): Tensor<"f32"> => body(...copies as readonly Tensor[] as I);

  const gradients = backwardOf(run, copies);
  let worst: GradientDeviation = { input: 0, index: 0, backward: 0, difference: 0, error: 0 };
  copies.forEach((copy, input) => {
    const gradient = gradients[input]!;
    const moved = values[input]!.slice();
    const weighted = (index: number, by: number): number => {
      moved[index] = values[input]![index]! + by;
      write(copy, moved);
      moved[index] = values[input]![index]!;
      using _temporaries = memory.openScope();
      return weightedSum(download(operands("check the gradient of", run())[0]));
    };
    const checked = spread(copy.size, samples).map((index) => ({
      index,
      difference: (weighted(index, step) - weighted(index, -step)) / (2 * step),
    }));
    write(copy, values[input]!);
    const largest = checked.reduce(
      (most, { difference }) => Math.max(most, Math.abs(difference)),
      gradient.reduce((most, value) => Math.max(most, Math.abs(value)), Number.MIN_VALUE),
    );
    for (const { index, difference } of checked) {
      const backward = gradient[index]!;
      const error = Math.abs(backward - difference) / largest;
      // Nothing is worse than a gradient that is not a number.
      if (!Number.isNaN(worst.error) && !(error <= worst.error)) {
        worst = { input, index, backward, difference, error };
      }
    }
  });
  return Promise.resolve(worst);
}

/** The gradients of the weighted sum, by the backward pass. */
function backwardOf(
  run: () => Tensor<"f32">,
  inputs: readonly DeviceTensor<"f32">[],
): Float32Array[] {
  using tape = Tape.open(inputs[0]!.memory);
  for (const input of inputs) tape.watch(input);
  const [result] = operands("check the gradient of", run());
  const weights = result.memory.allocate("f32", result.shape);
  write(weights, Array.from({ length: result.size }, (_, i) => weightOf(i)));
  tape.backward(sum(multiply(result, weights)) as Tensor<"f32", readonly []>);
  return inputs.map((input) =>
    download(operands("check the gradient at", tape.gradient(input))[0])
  );
}

/** Weights of mixed sign and size, without a pattern that sums of rows would cancel. */
function weightOf(index: number): number {
  return Math.fround(Math.sin(1 + 2.399963 * index) + 0.25);
}

/** Summed in float64, so that the difference of two sums keeps its digits. */
function weightedSum(values: Float32Array): number {
  return values.reduce((total, value, i) => total + value * weightOf(i), 0);
}

/** At most `count` whole numbers below `size`, evenly spread. */
function spread(size: number, count: number): number[] {
  const picked = Math.min(size, count);
  return Array.from({ length: picked }, (_, i) => Math.floor(i * size / picked));
}
