import { AssertionError, assertThrows } from "@std/assert";
import { assertAllClose } from "../../kernels/cases/assert_all_close.ts";
import {
  attentionCase,
  attentionGradientCase,
  type AttentionOptions,
} from "../../kernels/cases/attention.ts";
import {
  attentionExtendCase,
  type AttentionExtendOptions,
} from "../../kernels/cases/attention_extend.ts";
import {
  allDoubled,
  type GradientCase,
  type HostArrays,
  inputsOf,
  type KernelCase,
  type OperationCase,
  type Output,
  widened,
} from "../../kernels/cases/case.ts";
import { assertClose } from "../../kernels/cases/check.ts";
import {
  crossEntropyGradientCase,
  crossEntropyKeptCase,
  type CrossEntropyOptions,
} from "../../kernels/cases/cross_entropy.ts";
import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
} from "../../kernels/cases/experts.ts";
import { partialDerivatives, probesOf } from "../../kernels/cases/finite_difference.ts";
import { gemmCase, type GemmCaseOptions } from "../../kernels/cases/gemm.ts";
import { OPERATION_CASES } from "../../kernels/cases/mod.ts";
import * as build from "./rounding_build.ts";

const EXPERTS: readonly ExpertsOptions[] = [
  { tokens: 23, hidden: 12, width: 20, experts: 1, density: 1, dense: true },
  { tokens: 40, hidden: 24, width: 300, experts: 1, density: 1, dense: true },
  { tokens: 33, hidden: 17, width: 19, experts: 7, density: 0.2 },
  { tokens: 29, hidden: 24, width: 16, experts: 8, density: 1 },
  { tokens: 1100, hidden: 12, width: 10, experts: 2, density: 0.9 },
];

const ATTENTION: readonly AttentionOptions[] = [
  { batch: 3, sequence: 1, heads: 4, groups: 2, headDim: 8 },
  { batch: 1, sequence: 17, heads: 4, groups: 4, headDim: 6, padding: 5 },
  { batch: 2, sequence: 33, heads: 6, groups: 2, headDim: 7 },
  { batch: 1, sequence: 64, heads: 2, groups: 2, headDim: 32, scale: 30 },
  { batch: 1, sequence: 131, heads: 3, groups: 1, headDim: 16 },
];

const DECODING: readonly AttentionExtendOptions[] = [
  { lengths: [3, 0, 7], capacity: 8, heads: 4, groups: 2, headDim: 8 },
  { lengths: [33], capacity: 40, heads: 6, groups: 2, headDim: 18, padding: 3 },
  { lengths: [9, 0], rows: [1, 0], counts: [5, 2], capacity: 12, heads: 4, groups: 2, headDim: 8 },
];

const HEADS: readonly CrossEntropyOptions[] = [
  { tokens: 3, hidden: 5, vocabulary: 7 },
  { tokens: 65, hidden: 32, vocabulary: 257, ignored: 0.25 },
  { tokens: 33, hidden: 16, vocabulary: 100, scale: 40 },
];

const KEPT_HEADS: readonly CrossEntropyOptions[] = [
  { tokens: 3, hidden: 5, vocabulary: 7, logitStride: 7 },
  { tokens: 70, hidden: 24, vocabulary: 257, ignored: 0.25, logitStride: 257 },
];

/** A case, and what a build computes of it with a given rounding at the boundaries. */
interface Emulated {
  readonly kernelCase: KernelCase;
  run(inputs: HostArrays, round: build.Round): build.Outputs;
}

type Emulate<Options> = (
  inputs: build.Inputs,
  options: Options,
  round: build.Round,
) => build.Outputs;

/** Every input in float64, indices among them. */
function inFloat64(inputs: HostArrays): build.Inputs {
  const entries = Object.entries(inputs).map(([name, array]) =>
    [name, Float64Array.from(widened(array))] as const
  );
  return Object.fromEntries(entries);
}

/** Pairs each case of a list with its emulation. */
function emulated<Options>(
  list: readonly Options[],
  caseOf: (options: Options) => KernelCase,
  emulate: Emulate<Options>,
): Emulated[] {
  return list.map((options) => ({
    kernelCase: caseOf({ ...options, dtype: "bf16" }),
    run: (inputs, round) => emulate(inFloat64(inputs), options, round),
  }));
}

const EMULATED: readonly Emulated[] = [
  ...emulated(EXPERTS, expertsCase, build.expertsForward),
  ...emulated(EXPERTS, expertsGradientCase, build.expertsGradient),
  ...emulated(ATTENTION, attentionCase, build.attentionForward),
  ...emulated(ATTENTION, attentionGradientCase, build.attentionGradient),
  ...emulated(DECODING, attentionExtendCase, build.attentionExtend),
  ...emulated(HEADS, crossEntropyGradientCase, build.crossEntropyGradient),
  ...emulated(KEPT_HEADS, crossEntropyKeptCase, build.crossEntropyGradient),
];

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Rounds a number to bfloat16: `toBfloat16()` of one number, which needs no array. */
function toBf16(value: number): number {
  if (Number.isNaN(value)) return value;
  float[0] = value;
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return float[0];
}

/** Rounds towards 0 to a number of significant bits. */
function truncated(value: number, bits: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const ulp = 2 ** (Math.floor(Math.log2(Math.abs(value))) - bits + 1);
  return Math.trunc(value / ulp) * ulp;
}

/** What an output holds of a number. */
function heldAs({ dtype }: Output): (value: number) => number {
  return dtype === "bf16" ? toBf16 : Math.fround;
}

/** The defined part of some outputs of a case, each as it is held. */
function definedIn(
  kernelCase: KernelCase,
  outputs: build.Outputs,
  inputs: HostArrays,
  held: (output: Output) => (value: number) => number,
): Readonly<Record<string, ArrayLike<number>>> {
  const entries = Object.entries(outputs).map(([name, values]) =>
    [name, Array.from(values, held(kernelCase.outputs[name]!))] as const
  );
  const all = Object.fromEntries(entries);
  // The emulations leave out what other cases do not define.
  return kernelCase.operation === "attention_forward" ? kernelCase.defined!(all, inputs) : all;
}

/** How well float64 sums in another order agree, from inputs that are held in fp32. */
const CLOSE = { rtol: 1e-5, atol: 1e-6 };

/** Asserts that without roundings an operation's emulation computes its reference. */
function assertEmulatesOperation({ kernelCase, run }: Emulated): void {
  const inputs = inputsOf(kernelCase);
  const expected = (kernelCase as OperationCase).reference(allDoubled(inputs));
  const exact = definedIn(kernelCase, run(inputs, (value) => value), inputs, () => Math.fround);
  for (const [name, values] of Object.entries(exact)) {
    assertAllClose(values, expected[name]!, { name, ...CLOSE });
  }
}

/**
 * Asserts that without roundings a gradient's emulation computes the derivative, from inputs of the
 * case in fp32: what a forward pass gave it comes rounded.
 */
function assertEmulatesGradient({ kernelCase, run }: Emulated): void {
  const wide = (kernelCase as GradientCase).inFp32!();
  const inputs = inputsOf(wide);
  const exact = run(inputs, (value) => value);
  for (const [name, { of }] of Object.entries(wide.gradients)) {
    const indices = probesOf(wide, inputs, name).indices.slice(0, 3);
    const expected = partialDerivatives(wide, inputs, of, indices).map(({ value }) => value);
    assertAllClose(indices.map((i) => exact[name]![i]!), expected, { name, ...CLOSE });
  }
}

for (const emulation of EMULATED) {
  const { kernelCase, run } = emulation;
  Deno.test(`a build that rounds at every boundary passes ${kernelCase.name}`, () => {
    if ("reference" in kernelCase) assertEmulatesOperation(emulation);
    else assertEmulatesGradient(emulation);
    const inputs = inputsOf(kernelCase);
    const exact = definedIn(kernelCase, run(inputs, (value) => value), inputs, () => Number);
    const rough = definedIn(kernelCase, run(inputs, toBf16), inputs, heldAs);
    for (const [name, values] of Object.entries(rough)) {
      assertClose(kernelCase, name, values, exact[name]!, { inputs });
    }
  });
}

/** fp32 addition that rounds towards 0, as in a tensor core. */
function addTruncating(sum: number, term: number): number {
  return truncated(sum + term, 24);
}

const PRODUCTS: readonly GemmCaseOptions[] = [
  { m: 3, n: 5, k: 7 },
  { m: 33, n: 17, k: 65 },
  { m: 130, n: 100, k: 129 },
  { m: 4, n: 3, k: 2501 },
];

for (const options of PRODUCTS) {
  for (const storage of ["bf16", "bf16 to f32"] as const) {
    const product = gemmCase({ ...options, storage });
    Deno.test(`a build whose sums truncate passes ${product.name}`, () => {
      const { m, n, k } = options;
      const inputs = inputsOf(product);
      const { a, b } = inFloat64(inputs);
      const c = Float64Array.from({ length: m * n }, (_, i) => {
        const [row, column] = [Math.floor(i / n), i % n];
        let sum = 0;
        for (let j = 0; j < k; j++) {
          sum = addTruncating(sum, a![row * k + j]! * b![j * n + column]!);
        }
        return sum;
      });
      const expected = product.reference(allDoubled(inputs)).c!;
      const { c: held } = definedIn(product, { c }, inputs, heldAs);
      assertClose(product, "c", held!, expected, { inputs });
    });
  }
}

/**
 * Whether truncating a number to bfloat16 loses more than its tolerance and a margin allow, as it
 * does just above a power of two where nothing is rounded before the output.
 */
function isTelling(value: number, rtol: number): boolean {
  const lost = Math.abs(value - truncated(value, 8));
  return lost > 1.2 * rtol * Math.abs(value) + 1e-30;
}

/** Cases whose references take long add nothing here. */
const MOST_FLOPS = 3e6;
/** Terms that are rounded as coarsely, as with scores of 30, hide a loss of bits. */
const COARSE = 2 ** -5;

Deno.test("results rounded to bfloat16 pass, truncated ones and those with 4 bits fail", async (t) => {
  for (const operationCase of OPERATION_CASES) {
    if (operationCase.dtype !== "bf16" || operationCase.flops > MOST_FLOPS) continue;
    const inputs = inputsOf(operationCase);
    const expected = operationCase.reference(allDoubled(inputs));
    for (const [name, { dtype, tolerance }] of Object.entries(operationCase.outputs)) {
      if (dtype !== "bf16" || operationCase.unwanted?.includes(name)) continue;
      const values = Array.from(expected[name]!);
      const compare = (actual: readonly number[]) =>
        assertClose(operationCase, name, actual, values, { inputs });
      await t.step(`${operationCase.name}: ${name}`, () => {
        compare(values.map(toBf16));
        if (values.some((value) => isTelling(value, tolerance.rtol))) {
          assertThrows(() => compare(values.map((value) => truncated(value, 8))), AssertionError);
        }
        const coarse = values.map((value) => truncated(value, 4));
        const lost = values.filter((value, i) => Number.isFinite(value) && value !== coarse[i]);
        if (lost.length <= 32 || tolerance.rtol > COARSE) return;
        assertThrows(() => compare(coarse), AssertionError);
      });
    }
  }
});
