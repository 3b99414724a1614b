import { allDoubled, type Doubled, type GradientCase, type HostArrays } from "./case.ts";
import { Random } from "./random.ts";

/**
 * Step of the central differences. In float64, truncation (h^2/6 times the third derivative) and
 * cancellation (2^-53 |loss| / h) then both stay near 1e-10, far below what fp32 resolves.
 */
const STEP = 1e-5;

/** A derivative found by finite differences. */
export interface PartialDerivative {
  /** Flat index into the input. */
  readonly index: number;
  /** The derivative of the loss with respect to that element. */
  readonly value: number;
}

/**
 * Differentiates a case's loss with respect to single elements of one input.
 *
 * @param gradientCase The case.
 * @param inputs Its inputs.
 * @param input The input.
 * @param indices The elements.
 * @returns One derivative per index.
 */
export function partialDerivatives(
  gradientCase: GradientCase,
  inputs: HostArrays,
  input: string,
  indices: readonly number[],
): PartialDerivative[] {
  const { arrays, varied } = variable(inputs, input);
  return indices.map((index) => {
    const x = varied[index]!;
    const above = x + STEP;
    const below = x - STEP;
    varied[index] = above;
    const lossAbove = gradientCase.loss(arrays);
    varied[index] = below;
    const lossBelow = gradientCase.loss(arrays);
    varied[index] = x;
    // above - below is the actual step after rounding, not 2 * STEP.
    return { index, value: (lossAbove - lossBelow) / (above - below) };
  });
}

/**
 * Differentiates a case's loss along a direction of one input: all elements in two evaluations.
 *
 * @param gradientCase The case.
 * @param inputs Its inputs.
 * @param input The input.
 * @param direction A vector of norm 1.
 * @returns The directional derivative.
 */
export function directionalDerivative(
  gradientCase: GradientCase,
  inputs: HostArrays,
  input: string,
  direction: Float64Array,
): number {
  const { arrays, varied } = variable(inputs, input);
  const start = varied.slice();
  // A unit direction moves each element only slightly, so the step can be longer.
  const step = 10 * STEP;
  const lossAt = (distance: number): number => {
    for (let i = 0; i < varied.length; i++) varied[i] = start[i]! + distance * direction[i]!;
    return gradientCase.loss(arrays);
  };
  return (lossAt(step) - lossAt(-step)) / (2 * step);
}

/**
 * Picks elements of a gradient, and a direction over all of them, on which to check it.
 *
 * @param gradientCase The case.
 * @param inputs Its inputs.
 * @param output The gradient output.
 * @returns Indices (without repetition), the direction, and which elements the contract defines.
 */
export function probesOf(
  gradientCase: GradientCase,
  inputs: HostArrays,
  output: string,
): { indices: number[]; direction: Float64Array; isDefined: (index: number) => boolean } {
  const gradient = gradientCase.gradients[output]!;
  const random = new Random(`${gradientCase.name} ${output}`);
  const { length } = inputs[gradient.of]!;
  const isDefined = (index: number): boolean => gradient.where?.(index, inputs) ?? true;
  const candidates = Array.from({ length }, (_, i) => i).filter(isDefined);
  const direction = new Float64Array(length);
  const size = 1 / Math.sqrt(Math.max(1, candidates.length));
  for (const i of candidates) direction[i] = random.next() < 0.5 ? size : -size;
  const indices: number[] = [];
  for (let wanted = gradientCase.samples ?? 16; wanted > 0 && candidates.length > 0; wanted--) {
    indices.push(...candidates.splice(random.integer(candidates.length), 1));
  }
  return { indices, direction, isDefined };
}

/** The inputs in float64, one of them to be varied in place. */
function variable(
  inputs: HostArrays,
  input: string,
): { arrays: Doubled<HostArrays>; varied: Float64Array } {
  const arrays = allDoubled(inputs);
  const varied = arrays[input];
  if (!(varied instanceof Float64Array)) throw new TypeError(`${input} is not differentiable`);
  return { arrays, varied };
}
