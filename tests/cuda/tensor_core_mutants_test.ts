import { assert, assertEquals } from "@std/assert";
import { attentionCase, attentionGradientCase } from "../../kernels/cases/attention.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
} from "../../kernels/cases/experts.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { definedOutputs, runCase } from "../../kernels/cases/placed_case.ts";
import { DeviceError } from "../../lib/errors.ts";
import { type Emulator, missingCompiler, openEmulator, Order } from "./emulator.ts";
import { todaysShare } from "./mutants.ts";
import { reasonToGo, synchronisations, without } from "./tensor_core_mutants.ts";

const ignore = missingCompiler !== undefined;

/** More steps of the depth than the ring has stages, and tiles with rows for one consumer alone. */
const LAYER: ExpertsOptions = {
  ...{ tokens: 150, hidden: 328, width: 136, experts: 2, density: 0.7 },
  ...{ kept: 50, dtype: "bf16" },
};

/** More tiles of keys than the ring has slots, and more tiles of queries than multiprocessors. */
const HEADS = [
  { batch: 1, sequence: 280, heads: 4, groups: 2, headDim: 64, dtype: "bf16" },
  { batch: 1, sequence: 280, heads: 2, groups: 1, headDim: 128, dtype: "bf16" },
] as const;

/** What runs the kernels of a file. */
function casesOf(file: string): readonly KernelCase[] {
  if (file.startsWith("attention/flash_forward")) return HEADS.map(attentionCase);
  if (file.startsWith("attention/flash_gradient")) return HEADS.map(attentionGradientCase);
  return [
    expertsCase(LAYER),
    expertsGradientCase(LAYER, 1),
    // Some experts have no token: their tiles have no depth.
    expertsGradientCase({ ...LAYER, tokens: 4, experts: 4, density: 0.2, kept: 0 }, 1),
    gemmCase({ m: 136, n: 520, k: 328, storage: "bf16" }),
  ];
}

type Results = ReturnType<typeof definedOutputs>;

/** What is done late, early or at any time between. */
const ORDERS = [Order.forward, Order.reverse, Order.priority];

function resultsOf(emulator: Emulator, kernelCase: KernelCase): Results {
  const inputs = inputsOf(kernelCase);
  return definedOutputs(kernelCase, runCase(emulator.context, kernelCase, inputs), inputs);
}

function hasSameBits(results: Results, others: Results): boolean {
  return Object.entries(results).every(([name, values]) =>
    Array.from(values).every((value, i) => Object.is(value, others[name]![i]))
  );
}

/**
 * The first complaint of the race checker or the device; or that results are not the expected ones,
 * or depend on the order, as those of registers do that are read too early.
 */
function complaintOf(
  emulator: Emulator,
  cases: readonly KernelCase[],
  expected: readonly Results[] = [],
): string | undefined {
  for (const [i, each] of cases.entries()) {
    let first = expected[i];
    for (const order of ORDERS) {
      emulator.configure({ order, seed: 3 });
      let results: Results;
      try {
        results = resultsOf(emulator, each);
      } catch (error) {
        if (!(error instanceof DeviceError)) throw error;
        return error.message;
      }
      const [report] = emulator.reports();
      if (report !== undefined) return report;
      first ??= results;
      if (!hasSameBits(results, first)) return `${each.name} has other results`;
    }
  }
  return undefined;
}

// Nothing that orders threads, copies or products is superfluous, but for what is said to be.
for (const each of ignore ? [] : todaysShare(synchronisations())) {
  const { file, line, text } = each;
  const mayGo = reasonToGo(each) !== undefined;
  const outcome = mayGo ? "does without" : "notices";
  Deno.test(`the emulator ${outcome} \`${text}\` missing from ${file}:${line}`, async () => {
    const cases = casesOf(file);
    const options = { race: true, capability: 90 } as const;
    const expected: Results[] = [];
    if (mayGo) {
      using whole = await openEmulator(options);
      expected.push(...cases.map((each) => resultsOf(whole, each)));
    }
    using emulator = await openEmulator({ ...options, mutant: without(each) });
    const complaint = complaintOf(emulator, cases, expected);
    if (mayGo) assertEquals(complaint, undefined);
    else assert(complaint !== undefined);
  });
}
