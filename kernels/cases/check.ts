import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, type KernelLibrary, Status } from "../../lib/ffi/mod.ts";
import { assertAllClose } from "./assert_all_close.ts";
import {
  allDoubled,
  type GradientCase,
  type HostArray,
  type HostArrays,
  inputsOf,
  type KernelCase,
  type OperationCase,
  widened,
} from "./case.ts";
import { directionalDerivative, partialDerivatives, probesOf } from "./finite_difference.ts";
import { definedOutputs, runCase } from "./placed_case.ts";
import { Random } from "./random.ts";
import { dot } from "./reference/reduction.ts";
import { stored } from "./stored.ts";
import { BF16_ROUNDOFF, EXACT, plus, rounded, type Tolerance } from "./tolerance.ts";

/** Accuracy of fp64 differences: far below any fp32 tolerance, but not 0. */
const DIFFERENCE: Tolerance = { rtol: 1e-8, atol: 1e-8 };

/**
 * Groups cases by operation.
 *
 * @param cases Cases.
 * @returns The same cases, by the contract's function name without `remoe_`.
 */
export function byOperation<Case extends KernelCase>(
  cases: readonly Case[],
): ReadonlyMap<string, readonly Case[]> {
  return Map.groupBy(cases, ({ operation }) => operation);
}

/**
 * Whether a kernel library cannot run a case: it lacks a symbol, or declines the dtype and the case
 * allows that.
 *
 * @param kernels The device.
 * @param kernelCase The case.
 * @returns True if the case is to be skipped.
 */
export function isBeyond(kernels: KernelContext, kernelCase: KernelCase): boolean {
  if (kernelCase.symbols.some((symbol) => kernels.library.missing.includes(symbol))) return true;
  const { operation, dtype = "f32", mayBeUnsupported = false } = kernelCase;
  if (mayBeUnsupported) return isDeclined(kernels, kernelCase);
  if (dtype === "f32") return false;
  const known = DECLINED.get(kernels.library) ?? new Map<string, boolean>();
  DECLINED.set(kernels.library, known);
  const declines = known.get(operation) ?? isDeclined(kernels, kernelCase);
  known.set(operation, declines);
  return declines;
}

/** Whether libraries decline an operation in bfloat16, which its first case tells. */
const DECLINED = new WeakMap<KernelLibrary, Map<string, boolean>>();

function isDeclined(kernels: KernelContext, kernelCase: KernelCase): boolean {
  try {
    runCase(kernels, kernelCase, inputsOf(kernelCase));
    return false;
  } catch (error) {
    if (error instanceof DeviceError && error.status === Status.unsupported) return true;
    throw error;
  }
}

/**
 * Asserts that a kernel matches the float64 reference.
 *
 * @param kernels The device.
 * @param operationCase The case.
 */
export function assertMatchesReference(kernels: KernelContext, operationCase: OperationCase): void {
  const inputs = inputsOf(operationCase);
  const actual = definedOutputs(operationCase, runCase(kernels, operationCase, inputs), inputs);
  const expected = operationCase.reference(allDoubled(inputs));
  for (const [name, values] of Object.entries(actual)) {
    assertClose(operationCase, name, values, expected[name]!, { inputs });
  }
}

/**
 * Asserts that a gradient kernel computes the derivative of the float64 forward pass: element by
 * element on a sample, and along a random direction over all elements. In bfloat16 every element
 * must also agree with the fp32 kernel on the same numbers, since the direction says little of
 * single elements that are rounded coarsely.
 *
 * @param kernels The device.
 * @param gradientCase The case.
 */
export function assertMatchesDifferences(kernels: KernelContext, gradientCase: GradientCase): void {
  const inputs = inputsOf(gradientCase);
  const actual = numbersOf(runCase(kernels, gradientCase, inputs));
  for (const [name, gradient] of Object.entries(gradientCase.gradients)) {
    const values = actual[name]!;
    const { indices, direction, isDefined } = probesOf(gradientCase, inputs, name);
    const expected = Float64Array.from(values);
    for (const { index, value } of partialDerivatives(gradientCase, inputs, gradient.of, indices)) {
      expected[index] = value;
    }
    // Elements not probed are expected unchanged, unless the contract defines them otherwise.
    const elsewhere = gradient.elsewhere === "zero" ? 0 : NaN;
    for (let i = 0; i < expected.length; i++) {
      if (!isDefined(i)) expected[i] = elsewhere;
      else if (!Number.isFinite(values[i]!)) expected[i] = 0;
    }
    assertClose(gradientCase, name, values, expected, { inputs, slack: DIFFERENCE });
    const slope = directionalDerivative(gradientCase, inputs, gradient.of, direction);
    assertSlope(gradientCase, name, values, direction, slope, isDefined);
  }
  if (gradientCase.inFp32 === undefined) return;
  const twin = gradientCase.inFp32();
  const wide = Object.entries(inputs).map(([name, array]) => [name, widened(array)] as const);
  const expected = numbersOf(runCase(kernels, twin, Object.fromEntries(wide)));
  for (const [name, values] of Object.entries(actual)) {
    const slack = twin.outputs[name]!.tolerance;
    assertClose(gradientCase, name, values, expected[name]!, { inputs, slack });
  }
}

/**
 * The signs of the direction do not know of the errors, so that its slope errs as a single element
 * does: a few times what the tolerance is for elements of their root mean square.
 */
function assertSlope(
  gradientCase: GradientCase,
  name: string,
  values: Float64Array,
  direction: Float64Array,
  expected: number,
  isDefined: (index: number) => boolean,
): void {
  const defined = values.map((value, i) => isDefined(i) ? value : 0);
  const count = Math.max(1, direction.filter((component) => component !== 0).length);
  const { rtol, atol } = plus(gradientCase.outputs[name]!.tolerance, DIFFERENCE);
  assertAllClose([dot(defined, direction)], [expected], {
    name: `${name} along a direction`,
    rtol: 0,
    atol: atol + 4 * rtol * Math.sqrt(dot(defined, defined) / count),
  });
}

/**
 * Asserts that a gradient kernel adds if its bit is set and overwrites if not, for every single
 * output and for all at once.
 *
 * @param kernels The device.
 * @param gradientCase The case.
 */
export function assertAccumulates(kernels: KernelContext, gradientCase: GradientCase): void {
  const inputs = inputsOf(gradientCase);
  const plain = numbersOf(runCase(kernels, gradientCase, inputs));
  const prefill = prefilled(gradientCase);
  const befores = numbersOf(prefill);
  const bits = Object.values(gradientCase.gradients).flatMap(({ bit }) => bit ?? []);
  const masks = new Set([
    ...bits.map((bit) => 1 << bit),
    bits.reduce((all, bit) => all | 1 << bit, 0),
  ]);
  for (const accumulate of masks) {
    const actual = numbersOf(runCase(kernels, gradientCase, inputs, { prefill, accumulate }));
    for (const [name, gradient] of Object.entries(gradientCase.gradients)) {
      const { bit, elsewhere } = gradient;
      const isAdded = bit !== undefined && (accumulate & (1 << bit)) !== 0;
      const before = befores[name]!;
      const expected = plain[name]!.map((value, i) => {
        const isDefined = gradient.where?.(i, inputs) ?? true;
        if (!isDefined && elsewhere === "untouched") return before[i]!;
        return isAdded ? value + before[i]! : value;
      });
      // The sum is rounded at the magnitude of the larger term, which may cancel.
      const slack = rounded(2, 4);
      // A sum in bfloat16 is rounded once, but its expected value holds the rounding of `plain`.
      const coarse = gradientCase.outputs[name]!.dtype === "bf16" && isAdded;
      const slackAt = (i: number) => coarse ? BF16_ROUNDOFF * Math.abs(plain[name]![i]!) : 0;
      assertClose(gradientCase, name, actual[name]!, expected, { inputs, slack, runs: 2, slackAt });
    }
  }
}

/** Known, nonzero numbers that gradients are added to. */
function prefilled(gradientCase: GradientCase): HostArrays {
  const random = new Random(`${gradientCase.name} before`);
  const entries = Object.entries(gradientCase.outputs).map(([name, { shape, dtype }]) => {
    const values = random.normal(shape.reduce((product, size) => product * size, 1));
    return [name, dtype === "bf16" ? stored(values, dtype) : values] as const;
  });
  return Object.fromEntries(entries);
}

/**
 * Asserts that leaving out any optional gradient does not change the others.
 *
 * @param kernels The device.
 * @param gradientCase The case.
 */
export function assertOutputsAreOptional(kernels: KernelContext, gradientCase: GradientCase): void {
  const inputs = inputsOf(gradientCase);
  const whole = numbersOf(runCase(kernels, gradientCase, inputs));
  const optional = Object.entries(gradientCase.gradients).filter(([, { optional }]) => optional);
  for (const [left] of optional) {
    const actual = numbersOf(runCase(kernels, gradientCase, inputs, { unwanted: [left] }));
    for (const [name, values] of Object.entries(actual)) {
      assertClose(gradientCase, name, values, whole[name]!, { inputs });
    }
  }
}

/**
 * Asserts that devices agree within a case's tolerances.
 *
 * @param kernels The device to compare the others with.
 * @param others Devices of other kernel libraries, or with other settings.
 * @param kernelCase The case.
 */
export function assertAgrees(
  kernels: KernelContext,
  others: readonly KernelContext[],
  kernelCase: KernelCase,
): void {
  const inputs = inputsOf(kernelCase);
  const outputsOf = (each: KernelContext) =>
    definedOutputs(kernelCase, runCase(each, kernelCase, inputs), inputs);
  const expected = outputsOf(kernels);
  for (const other of others) {
    for (const [name, values] of Object.entries(outputsOf(other))) {
      // Each may be off in a different direction.
      assertClose(kernelCase, name, values, expected[name]!, { inputs, runs: 2 });
    }
  }
}

/**
 * Asserts that a second run gives the same bits.
 *
 * @param kernels The device.
 * @param kernelCase The case.
 */
export function assertRepeats(kernels: KernelContext, kernelCase: KernelCase): void {
  const inputs = inputsOf(kernelCase);
  const [first, second] = [1, 2].map(() =>
    definedOutputs(kernelCase, runCase(kernels, kernelCase, inputs), inputs)
  );
  for (const [name, values] of Object.entries(first!)) {
    const repeated = second![name]!;
    for (let i = 0; i < values.length; i++) {
      if (Object.is(values[i], repeated[i])) continue;
      throw new Error(
        `${kernelCase.name}: ${name}[${i}] is ${values[i]}, then ${repeated[i]}`,
      );
    }
  }
}

/** How {@linkcode assertClose} compares. */
export interface Comparison {
  /** The case's inputs. */
  readonly inputs: HostArrays;
  /** Runs of the kernel whose errors add up, 1 by default. */
  readonly runs?: number;
  /** A further tolerance. */
  readonly slack?: Tolerance;
  /** A further absolute tolerance of each element. */
  readonly slackAt?: (index: number) => number;
}

/**
 * Asserts that an output is within its case's tolerance.
 *
 * @param kernelCase The case.
 * @param name The output.
 * @param actual Its defined part.
 * @param expected What it should be.
 * @param comparison The case's inputs, and what the tolerance has to admit beyond one run.
 */
export function assertClose(
  kernelCase: KernelCase,
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { inputs, runs = 1, slack = EXACT, slackAt = () => 0 }: Comparison,
): void {
  const { tolerance, shape, share = () => 1 } = kernelCase.outputs[name]!;
  const isWhole = shape.reduce((product, size) => product * size, 1) === expected.length;
  assertAllClose(actual, expected, {
    name,
    rtol: runs * tolerance.rtol + slack.rtol,
    atol: slack.atol,
    slackAt: (i) => runs * tolerance.atol * share(i, inputs) + slackAt(i),
    ...(isWhole ? { shape } : {}),
  });
}

function numbersOf(
  outputs: Readonly<Record<string, HostArray>>,
): Readonly<Record<string, Float64Array>> {
  const entries = Object.entries(outputs).map(([name, array]) =>
    [name, Float64Array.from(widened(array))] as const
  );
  return Object.fromEntries(entries);
}
