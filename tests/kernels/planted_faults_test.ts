import { assertEquals, AssertionError, assertThrows } from "@std/assert";
import {
  type GradientCase,
  type HostArray,
  inputsOf,
  type KernelCase,
  type OperationCase,
  widened,
} from "../../kernels/cases/case.ts";
import { assertMatchesDifferences, assertMatchesReference } from "../../kernels/cases/check.ts";
import { KERNEL_CASES } from "../../kernels/cases/mod.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { Random } from "../../kernels/cases/random.ts";
import { stored } from "../../kernels/cases/stored.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import { openKernels } from "./open_library.ts";

/**
 * A bfloat16 case of every operation with sums short enough, and weights even enough, that a single
 * term is larger than what rounding the others may change.
 */
const CASES = [
  "binary divide [19,1] [1,23] bf16",
  "unary silu [1003] bf16",
  "unary_gradient tanh [37] bf16",
  "accumulate [1003] times -0.3 f32 to bf16",
  "accumulate [1003] times -0.3 bf16 to f32",
  "reduce sum [37,53] over [1] bf16",
  "reduce mean [33,9] over [1], accumulating bf16",
  "softmax [257,8] bf16",
  "softmax_gradient [64,8] bf16",
  "gemm [130,129]x[129,100] bf16",
  "gemm [65,33]^Tx[65,17] beta 1 ldc 21 bf16 to f32",
  "gemm [9,11]x[11,6] alpha -0.5 beta 2 bf16",
  "gemm [33,51]x[51,40] f32 by bf16",
  "relu_router_forward [130,100]x[100,128] bf16",
  "topk_router_forward [67,40]x[40,9] k=2 renormalized bf16",
  "sigmoid_router_forward [67,40]x[40,9] k=2 normalized bf16",
  "expert_choice_router_forward [67,24]x[24,5] 4 of 16 bf16",
  "sparsemixer_router_forward [67,40]x[40,9] k=3 jitter 0.1 in evaluation bf16",
  "experts_forward [29,24] E=8 W=16 density 1 bf16",
  "experts_gradient [29,24] E=8 W=16 density 1 bf16",
  "swiglu_forward [65,2*128] bf16",
  "swiglu_gradient [33,2*64] bf16",
  "rms_norm_forward [65,128] of 1 bf16",
  "rms_norm_gradient [65,128] bf16",
  "rope [64,256] S=32 6 heads of 32 base 1000000 offset 0 bf16",
  "rope inverse [21,41] S=7 3 heads of 10 base 1000000 offset 100 bf16",
  "attention_forward B=2 S=33 6/2 heads of 7 bf16",
  "attention_gradient B=2 S=33 6/2 heads of 7 bf16",
  "attention_extend lengths 33 of 40 6/2 heads of 18 padding 3 bf16",
  "embedding_forward [37] of [11,13] bf16",
  "embedding_gradient [100] of [11,13] bf16",
  "cross_entropy_forward [65,32]x[32,257] 25% ignored bf16",
  "cross_entropy_gradient [3,5]x[5,7] bf16",
  "token_scores [3,5]x[5,7] bf16",
  "cross_entropy_gradient [3,5]x[5,7] logits kept 7 apart bf16",
];

/** Places of each input, and pairs of each output, that get a fault. */
const PLACES = 2;

const planted = CASES.map((name) => {
  const found = KERNEL_CASES.find((each) => each.name === name);
  if (found === undefined) throw new RangeError(`no case is named ${name}`);
  return found;
});

/** A single element of an input that the kernel reads as another number than it was given. */
interface Fault {
  readonly input: string;
  readonly index: number;
  readonly factor: number;
}

function bytesOf(array: HostArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The case with a fault: its check still expects the results of the right number. */
function faulty<Case extends KernelCase>(kernelCase: Case, fault: Fault): Case {
  const { input, index, factor } = fault;
  const right = inputsOf(kernelCase)[input]!;
  const wrong = right.slice() as typeof right;
  const [value] = widened(right.slice(index, index + 1));
  wrong.set(stored([factor * value!], right instanceof Uint16Array ? "bf16" : "f32"), index);
  return {
    ...kernelCase,
    call(k, at, accumulate) {
      k.writeBytes(at(input), bytesOf(wrong));
      kernelCase.call(k, at, accumulate);
      if (!(input in kernelCase.outputs)) k.writeBytes(at(input), bytesOf(right));
    },
  };
}

function check(kernels: KernelContext, kernelCase: KernelCase): void {
  if ("reference" in kernelCase) assertMatchesReference(kernels, kernelCase as OperationCase);
  else assertMatchesDifferences(kernels, kernelCase as GradientCase);
}

/** The case with two elements of an output exchanged after the call. */
function swapping<Case extends KernelCase>(kernelCase: Case, name: string, pair: Pair): Case {
  const { dtype, shape } = kernelCase.outputs[name]!;
  const count = shape.reduce((product, size) => product * size, 1);
  return {
    ...kernelCase,
    call(k, at, accumulate) {
      kernelCase.call(k, at, accumulate);
      const array = dtype === "bf16" ? new Uint16Array(count) : new Float32Array(count);
      k.readBytes(at(name), bytesOf(array));
      [array[pair[0]], array[pair[1]]] = [array[pair[1]]!, array[pair[0]]!];
      k.writeBytes(at(name), bytesOf(array));
    },
  };
}

/** Two indices. */
type Pair = readonly [number, number];

/** Runs a case on its own inputs. */
function outputsOf(kernels: KernelContext, kernelCase: KernelCase): Record<string, HostArray> {
  return runCase(kernels, kernelCase, inputsOf(kernelCase));
}

/** Root mean square of the finite numbers. */
function sizeOf(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return Math.sqrt(finite.reduce((sum, value) => sum + value ** 2, 0) / finite.length);
}

/** Faults in elements of a typical magnitude that some output depends on, as it does on most. */
function faultsOf(kernels: KernelContext, kernelCase: KernelCase, input: string): Fault[] {
  const values = Array.from(widened(inputsOf(kernelCase)[input]!));
  const size = sizeOf(values);
  const typical = [...values.keys()].filter((i) => {
    const relative = Math.abs(values[i]!) / size;
    return relative > 0.8 && relative < 1.25;
  });
  const random = new Random(`${kernelCase.name} ${input}`);
  const right = outputsOf(kernels, kernelCase);
  const isRead = (fault: Fault): boolean => {
    const wrong = outputsOf(kernels, faulty(kernelCase, fault));
    return Object.entries(right).some(([name, output]) => {
      const bytes = bytesOf(wrong[name]!);
      return bytesOf(output).some((byte, i) => byte !== bytes[i]);
    });
  };
  const faults: Fault[] = [];
  for (let tries = 4 * PLACES; tries > 0 && typical.length > 0; tries--) {
    const [index] = typical.splice(random.integer(typical.length), 1);
    // Twice a pre-activation may be another with much the same silu.
    const factors = kernelCase.operation === "experts_gradient" && input === "h" ? [0] : [0, 2];
    faults.push(...factors.map((factor) => ({ input, index: index!, factor })).filter(isRead));
    if (faults.length >= factors.length * PLACES) break;
  }
  return faults;
}

/** Pairs of an output's elements that differ by what is typical. */
function pairsOf(kernels: KernelContext, kernelCase: KernelCase, output: string): Pair[] {
  const values = Array.from(widened(outputsOf(kernels, kernelCase)[output]!));
  const size = sizeOf(values);
  const random = new Random(`${kernelCase.name} ${output}`);
  const pairs: Pair[] = [];
  for (let tries = 100; tries > 0 && pairs.length < PLACES; tries--) {
    const pair = [random.integer(values.length), random.integer(values.length)] as const;
    if (Math.abs(values[pair[0]]! - values[pair[1]]!) > size) pairs.push(pair);
  }
  return pairs;
}

Deno.test("every operation with bfloat16 activations gets faults", () => {
  const all = KERNEL_CASES.filter(({ dtype }) => dtype === "bf16").map(({ operation }) =>
    operation
  );
  assertEquals(
    [...new Set(planted.map(({ operation }) => operation))].sort(),
    [...new Set(all)].sort(),
  );
});

for (const kernelCase of planted) {
  Deno.test(`a term left out or taken twice fails ${kernelCase.name}`, async (t) => {
    using kernels = openKernels();
    check(kernels, kernelCase);
    for (const [input, array] of Object.entries(inputsOf(kernelCase))) {
      if (!(array instanceof Float32Array || array instanceof Uint16Array)) continue;
      for (const fault of faultsOf(kernels, kernelCase, input)) {
        await t.step(`${input}[${fault.index}] read ${fault.factor} times`, () => {
          assertThrows(() => check(kernels, faulty(kernelCase, fault)), AssertionError);
        });
      }
    }
  });

  Deno.test(`two elements exchanged fail ${kernelCase.name}`, async (t) => {
    using kernels = openKernels();
    for (const [name, output] of Object.entries(outputsOf(kernels, kernelCase))) {
      if (!(output instanceof Float32Array || output instanceof Uint16Array)) continue;
      for (const pair of pairsOf(kernels, kernelCase, name)) {
        await t.step(`${name} at ${pair.join(" and ")}`, () => {
          assertThrows(() => check(kernels, swapping(kernelCase, name, pair)), AssertionError);
        });
      }
    }
  });
}
