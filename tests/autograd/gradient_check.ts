import { add, cast, type Device, multiply, read, type Real, sum, type Tensor } from "../../mod.ts";
import { assertEquals } from "@std/assert";
import { assertAllClose } from "../../kernels/cases/assert_all_close.ts";
import { Random } from "../../kernels/cases/random.ts";
import { elementsOf } from "../../kernels/cases/reference/layout.ts";
import { dot } from "../../kernels/cases/reference/reduction.ts";

/** A rank-one fp32 tensor. */
export type Vector = Tensor<"f32", readonly [number]>;
/** A rank-two fp32 tensor. */
export type Matrix = Tensor<"f32", readonly [number, number]>;

/** One differentiable input. */
export interface CheckedInput {
  /** Its shape. */
  readonly shape: readonly number[];
  /** Its type where it is f32 even among bf16 inputs, such as the weight of a norm. */
  readonly dtype?: "f32";
  /** Draws its numbers; normally distributed by default. */
  draw?(random: Random, length: number): Float32Array<ArrayBuffer>;
}

/**
 * A differentiable function twice: as the library computes it, and from its definition in float64.
 */
export interface GradientCheck {
  /** Names the function in messages, and seeds its inputs. */
  readonly name: string;
  readonly inputs: readonly CheckedInput[];
  /** The function under test. */
  run(device: Device, inputs: readonly Tensor<"f32">[]): Tensor<"f32">;
  /** Its definition. */
  reference(inputs: readonly Float64Array[]): Float64Array;
}

/**
 * fp32 rounds at 6e-8, and sums here have at most a few hundred terms, so 2e-5 of the largest
 * element leaves a margin of two decimal places but no room for a wrong term.
 */
const TOLERANCE = 2e-5;

/**
 * bf16 rounds by at most 2^-9 of a number. A gradient is rounded once when it is written and once
 * when it is added to, what it is computed from up to twice: the checks are of single operations.
 */
const BF16_TOLERANCE = 4 * 2 ** -9;

/** Inputs and weights are of order 1: results that cancel below this keep errors of that order. */
const CANCELLED = 0.5;

/** In float64, truncation and cancellation errors of the differences both stay near 1e-10. */
const STEP = 1e-5;

/**
 * Asserts that a function matches its definition and its gradients match finite differences of it.
 * The function is used once, and twice, so that each gradient kernel must accumulate.
 *
 * @param device Where to run.
 * @param check The function.
 * @param dtype The type of the inputs, which bf16 holds exactly where it is bf16.
 * @param roundings How many more roundings to bf16 follow each other than in a single operation.
 */
export async function assertGradients(
  device: Device,
  check: GradientCheck,
  dtype: Real = "f32",
  roundings = 0,
): Promise<void> {
  const tolerance = dtype === "f32" ? TOLERANCE : (1 + roundings / 4) * BF16_TOLERANCE;
  const inType = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> =>
    dtype === "f32" ? values : values.map(toBf16);
  const random = new Random(check.name);
  const values = check.inputs.map(({ shape, draw }) => {
    const length = elementsOf(shape);
    return inType(draw?.(random, length) ?? random.normal(length));
  });
  const doubles = values.map((array) => Float64Array.from(array));
  const expected = check.reference(doubles);
  const weights = inType(random.normal(expected.length));
  const gradients = doubles.map((_, i) => differences(check, doubles, i, weights));
  for (const uses of [1, 2]) {
    using tape = device.record();
    const inputs = values.map((array, i) => {
      const { shape, dtype: own = dtype } = check.inputs[i]!;
      const input: Tensor<"f32"> = device.from(array, shape);
      // In JavaScript's eyes: an operation that takes either type must not depend on which.
      return tape.watch(own === "f32" ? input : cast(input, own) as Tensor as Tensor<"f32">);
    });
    const outputs = Array.from({ length: uses }, () => inFp32(check.run(device, inputs)));
    const result = await read(outputs[0]!);
    assertClose(result, expected, `${check.name}: result`, tolerance, CANCELLED);
    const weight = device.from(weights, outputs[0]!.shape) as Tensor<"f32">;
    const losses = outputs.map((output) => sum(multiply(output, weight)));
    tape.backward(losses.reduce((total, loss) => add(total, loss)));
    for (const [i, input] of inputs.entries()) {
      const name = `${check.name}: gradient of input ${i}, used ${uses} times`;
      const gradient = tape.gradient(input);
      assertEquals(gradient.dtype as Real, check.inputs[i]!.dtype ?? dtype, name);
      const wanted = gradients[i]!.map((value) => uses * value);
      assertClose(await read(gradient), wanted, name, tolerance, CANCELLED);
    }
  }
}

function inFp32(x: Tensor<"f32">): Tensor<"f32"> {
  return x.dtype === "f32" ? x : cast(x, "f32");
}

/** The nearest number that bf16 holds. */
export function toBf16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0]!;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  return new Float32Array(Uint32Array.of(rounded << 16).buffer)[0]!;
}

/**
 * Compares with a tolerance relative to the largest expected element.
 *
 * @param actual What was computed.
 * @param expected What it should be.
 * @param name Names the array in the message.
 * @param tolerance The tolerance as a share of the largest element.
 * @param atLeast A lower bound for the largest element's magnitude.
 */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  name: string,
  tolerance: number,
  atLeast = 1e-30,
): void {
  let largest = atLeast;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  assertAllClose(actual, expected, { name, rtol: tolerance, atol: tolerance * largest });
}

/** d <weights, f(x)> / dx by central differences of the definition, element by element. */
function differences(
  check: GradientCheck,
  inputs: readonly Float64Array[],
  which: number,
  weights: Float32Array,
): Float64Array {
  const varied = inputs.map((array) => array.slice());
  const x = varied[which]!;
  return inputs[which]!.map((value, i) => {
    x[i] = value + STEP;
    const above = dot(check.reference(varied), weights);
    x[i] = value - STEP;
    const below = dot(check.reference(varied), weights);
    x[i] = value;
    return (above - below) / (2 * STEP);
  });
}
