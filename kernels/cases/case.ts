import type { KernelContext, SymbolName } from "../../lib/ffi/mod.ts";
import { fromBfloat16, Random } from "./random.ts";
import type { Tolerance } from "./tolerance.ts";

/**
 * An array on the host, bit for bit as a kernel sees it; bfloat16 is held in a `Uint16Array`,
 * tables of addresses as bytes.
 */
export type HostArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Arrays by the contract's parameter names. */
export type HostArrays = Readonly<Record<string, HostArray>>;

/** Element types of outputs. */
export type Element = "f32" | "f64" | "bf16" | "i32" | "u8";

/** An output of a kernel. */
export interface Output {
  /** Its element type. */
  readonly dtype: Element;
  /** Its shape, dense and row-major. */
  readonly shape: readonly number[];
  /** Its tolerance against the reference. */
  readonly tolerance: Tolerance;
  /**
   * The factor of the absolute tolerance at an element of the defined part, where terms are smaller
   * or larger than the tolerance assumes; 1 by default.
   */
  readonly share?: Share;
}

/** A factor of the absolute tolerance, by the element's index and the case's inputs. */
export type Share = (index: number, inputs: HostArrays) => number;

/** The same arrays with fp32 and bfloat16 widened to fp64, for the references. */
export type Doubled<Arrays> = { readonly [Name in keyof Arrays]: Widened<Arrays[Name]> };

/** Distributes over unions, so an input absent from some cases stays optional. */
type Widened<T> = T extends Float32Array | Uint16Array ? Float64Array : T;

/** Returns the device address of one of the case's buffers; 0 for an output that is not wanted. */
export type AddressOf<Name extends string = string> = (name: Name) => bigint;

/** One kernel call, with everything needed to make it anywhere. */
export interface KernelCase<
  Inputs extends HostArrays = HostArrays,
  Outputs extends string = string,
> {
  /** The operation and its sizes: `gemm [3,5]x[5,7]`. It also seeds the inputs. */
  readonly name: string;
  /** The contract's function name, without `remoe_`. */
  readonly operation: string;
  /** Every symbol the call needs. */
  readonly symbols: readonly SymbolName[];
  /** Floating-point operations of the definition, counting a fused multiply-add as two. */
  readonly flops: number;
  /** Bytes that must be read and written at least once. */
  readonly bytes: number;
  /** Element type of the activations, fp32 by default; a build may decline another one. */
  readonly dtype?: "f32" | "bf16";
  /** Whether a build may decline the case for another reason. */
  readonly mayBeUnsupported?: boolean;
  /** The outputs. One that shares its name with an input is computed in place. */
  readonly outputs: Readonly<Record<Outputs, Output>>;
  /** Optional outputs that this case leaves out: their address is 0. */
  readonly unwanted?: readonly NoInfer<Outputs>[];
  /** Draws the inputs. */
  inputs(random: Random): Inputs;
  /** Work between placing the buffers and the call, such as building tables of addresses. */
  prepare?(kernels: KernelContext, address: AddressOf<(keyof Inputs & string) | Outputs>): void;
  /** Makes the call. `accumulate` is the bit mask for gradient kernels, otherwise 0. */
  call(
    kernels: KernelContext,
    address: AddressOf<(keyof Inputs & string) | Outputs>,
    accumulate: number,
  ): void;
  /** The part of the outputs that the contract defines, if not all of them. */
  defined?(
    outputs: Readonly<Record<Outputs, ArrayLike<number>>>,
    inputs: Inputs,
  ): Readonly<Record<Outputs, ArrayLike<number>>>;
}

/** A case checked against a float64 reference. */
export interface OperationCase<
  Inputs extends HostArrays = HostArrays,
  Outputs extends string = string,
> extends KernelCase<Inputs, Outputs> {
  /** Computes the outputs (their defined part) in float64, directly from the contract. */
  reference(inputs: Doubled<Inputs>): Readonly<Record<Outputs, ArrayLike<number>>>;
}

/** A gradient output of a {@linkcode GradientCase}. */
export interface Gradient<Inputs extends HostArrays = HostArrays> {
  /** The input that it is the gradient of. */
  readonly of: keyof Inputs & string;
  /** Its bit in `accumulate`; absent if the kernel always overwrites. */
  readonly bit?: number;
  /** Whether its address may be 0. */
  readonly optional?: boolean;
  /** Whether the contract defines the gradient at this index as the derivative; default: yes. */
  where?(index: number, inputs: HostArrays): boolean;
  /** The expected value elsewhere: 0, or what was there before. */
  readonly elsewhere?: "zero" | "untouched";
}

/** A case of a gradient kernel, checked against finite differences of a float64 forward pass. */
export interface GradientCase<
  Inputs extends HostArrays = HostArrays,
  Outputs extends string = string,
> extends KernelCase<Inputs, Outputs> {
  /** The gradient outputs. */
  readonly gradients: Readonly<Record<Outputs, Gradient<NoInfer<Inputs>>>>;
  /** Elements of each input to differentiate individually; 16 by default. */
  readonly samples?: number;
  /** Of a bfloat16 case: the same call in fp32, which is compared at every element. */
  inFp32?(): GradientCase;
  /** The scalar whose gradient the kernel computes: <dy, forward(inputs)>, in float64. */
  loss(inputs: Doubled<Inputs>): number;
}

/**
 * Declares an operation case, with the names of inputs and outputs checked by the compiler.
 *
 * @param definition The case.
 * @returns The same case, for a list of cases of all kinds.
 */
export function operationCase<Inputs extends HostArrays, Outputs extends string>(
  definition: OperationCase<Inputs, Outputs>,
): OperationCase {
  return definition as unknown as OperationCase;
}

/**
 * Declares a gradient case, with the names of inputs and outputs checked by the compiler.
 *
 * @param definition The case.
 * @returns The same case, for a list of cases of all kinds.
 */
export function gradientCase<Inputs extends HostArrays, Outputs extends string>(
  definition: GradientCase<Inputs, Outputs>,
): GradientCase {
  return definition as unknown as GradientCase;
}

/**
 * Draws the inputs of a case: the same ones on every call and every machine.
 *
 * @param kernelCase The case.
 * @returns Its inputs.
 */
export function inputsOf(kernelCase: KernelCase): HostArrays {
  return kernelCase.inputs(new Random(kernelCase.name));
}

/**
 * Widens an array to fp64.
 *
 * @param array fp32 numbers, or bfloat16 ones as `Uint16Array`.
 * @returns The same numbers.
 */
export function doubled(array: Float32Array | Uint16Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(array instanceof Uint16Array ? fromBfloat16(array) : array);
}

/**
 * Widens bfloat16 to fp32 and passes other arrays through.
 *
 * @param array An array.
 * @returns The same numbers.
 */
export function widened(array: HostArray): HostArray {
  return array instanceof Uint16Array ? fromBfloat16(array) : array;
}

/**
 * Widens fp32 and bfloat16 arrays to fp64 and passes others through.
 *
 * @param arrays Arrays by name.
 * @returns The same numbers under the same names.
 */
export function allDoubled<Arrays extends HostArrays>(arrays: Arrays): Doubled<Arrays> {
  const entries = Object.entries(arrays).map(([name, array]) => {
    const isNarrow = array instanceof Float32Array || array instanceof Uint16Array;
    return [name, isNarrow ? doubled(array) : array];
  });
  return Object.fromEntries(entries);
}

/**
 * Describes an output.
 *
 * @param shape Its shape.
 * @param tolerance Its tolerance against the reference.
 * @param dtype Its element type; fp32 by default.
 * @param share The factor of the absolute tolerance, where it varies.
 * @returns The output.
 */
export function output(
  shape: readonly number[],
  tolerance: Tolerance,
  dtype: Element = "f32",
  share?: Share,
): Output {
  return { dtype, shape, tolerance, ...share === undefined ? {} : { share } };
}
