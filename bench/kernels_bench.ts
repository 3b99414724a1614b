/**
 * Times the kernels on the shapes of the default model: the cases that the tests check, so that what
 * is timed is known to be right.
 *
 * `deno bench` has neither medians nor throughput; each case keeps its own samples, and a table
 * follows on stderr: median time, GFLOPS, share of the machine's peak measured in the same process.
 */

import { type KernelContext, measurePeak, openContext } from "../lib/ffi/mod.ts";
import { attentionCase, attentionGradientCase } from "../tests/cases/attention.ts";
import { inputsOf, type KernelCase } from "../tests/cases/case.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "../tests/cases/cross_entropy.ts";
import { dispatchPlanCase } from "../tests/cases/dispatch_plan.ts";
import { expertsCase, expertsGradientCase } from "../tests/cases/experts.ts";
import { gemmCase } from "../tests/cases/gemm.ts";
import { PlacedCase } from "../tests/cases/placed_case.ts";
import { reluRouterCase, reluRouterGradientCase } from "../tests/cases/relu_router.ts";

/** Sizes of a model, as the cases need them. */
interface Sizes {
  readonly name: string;
  readonly batch: number;
  readonly sequence: number;
  readonly hidden: number;
  readonly heads: number;
  readonly groups: number;
  readonly width: number;
  readonly experts: number;
  readonly vocabulary: number;
  /** Share of active pairs: all in stage I, k/E in stage III. */
  readonly densities: readonly number[];
}

const NANO: Sizes = {
  name: "nano",
  batch: 16,
  sequence: 256,
  hidden: 128,
  heads: 4,
  groups: 2,
  width: 512,
  experts: 8,
  vocabulary: 257,
  densities: [1, 1 / 8],
};

interface Timed {
  readonly kernelCase: KernelCase;
  readonly seconds: number[];
}

/** The cases of a model, by the operation they time. */
function* casesOf(sizes: Sizes): Generator<[group: string, kernelCase: KernelCase]> {
  const { batch, sequence, hidden, heads, groups, width, experts, vocabulary } = sizes;
  const tokens = batch * sequence;
  const headDim = hidden / heads;
  const columns = (heads + 2 * groups) * headDim;
  const group = (operation: string): string => `${sizes.name} ${operation}`;
  yield [group("gemm"), gemmCase({ m: tokens, n: columns, k: hidden })];
  yield [group("gemm"), gemmCase({ m: tokens, n: hidden, k: columns, transposeB: true })];
  yield [group("gemm"), gemmCase({ m: hidden, n: columns, k: tokens, transposeA: true })];
  yield [group("router"), reluRouterCase({ tokens, hidden, experts })];
  yield [
    group("router"),
    reluRouterGradientCase({ tokens, experts, balance: "load", active: 1 }),
  ];
  for (const density of sizes.densities) {
    yield [group("dispatch"), dispatchPlanCase({ tokens, experts, density })];
    const layer = { tokens, hidden, width, experts, density };
    yield [group("experts"), expertsCase(layer)];
    yield [group("experts"), expertsGradientCase(layer)];
  }
  const attention = { batch, sequence, heads, groups, headDim };
  yield [group("attention"), attentionCase(attention)];
  yield [group("attention"), attentionGradientCase(attention)];
  yield [group("cross entropy"), crossEntropyCase({ tokens, hidden, vocabulary })];
  yield [group("cross entropy"), crossEntropyGradientCase({ tokens, hidden, vocabulary })];
}

const { context } = await openContext({ kind: "cpu" });
const timed: Timed[] = [];

for (const [group, kernelCase] of casesOf(NANO)) {
  const entry: Timed = { kernelCase, seconds: [] };
  timed.push(entry);
  const inputs = inputsOf(kernelCase);
  Deno.bench({ name: kernelCase.name, group, n: 5, warmup: 1 }, (b) => {
    using placed = new PlacedCase(context, kernelCase, inputs);
    placed.call();
    b.start();
    const started = performance.now();
    placed.call();
    entry.seconds.push((performance.now() - started) / 1e3);
    b.end();
  });
}

addEventListener("unload", () => {
  printTable(context);
  context.close();
});

function printTable(kernels: KernelContext): void {
  const peak = measurePeak(kernels);
  const { name, isa, threads, gemm } = kernels.info();
  const lines = [
    "",
    `${name}, ${isa}, ${threads} threads, ${gemm}; peak ${peak.gflops.toFixed(0)} GFLOPS, ` +
    `copy ${peak.gigabytesPerSecond.toFixed(1)} GB/s`,
    "| case | median ms | GFLOPS | share of peak | GB/s |",
    "| --- | ---: | ---: | ---: | ---: |",
  ];
  for (const { kernelCase, seconds } of timed) {
    if (seconds.length === 0) continue;
    const median = seconds.toSorted((a, b) => a - b)[seconds.length >> 1]!;
    const gflops = kernelCase.flops / median / 1e9;
    lines.push(
      `| ${kernelCase.name} | ${(median * 1e3).toFixed(2)} | ${gflops.toFixed(1)} | ` +
        `${(100 * gflops / peak.gflops).toFixed(0)} % | ` +
        `${(kernelCase.bytes / median / 1e9).toFixed(1)} |`,
    );
  }
  // Standard output belongs to `deno bench --json`.
  console.error(lines.join("\n"));
}
