/**
 * The case list on any kernel library: `deno run -A run_cases.ts LIBRARY [SHARD/SHARDS [FROM]]`. Each
 * case of a function that the library has is compared with its float64 reference and run twice to
 * check that the bits are equal. With a shard, every so many-th case only. A fault on the device
 * leaves the process without one, so that another process goes on after the case that met it.
 *
 * `run_cases.ts LIBRARY once` calls a few cases of each operation once and compares nothing, for
 * tools that watch the device.
 *
 * @module
 */

import { DeviceError } from "../../../lib/errors.ts";
import { KernelContext, openLibrary, Status } from "../../../lib/ffi/mod.ts";
import {
  assertAccumulates,
  assertMatchesDifferences,
  assertMatchesReference,
  assertRepeats,
  isBeyond,
} from "../../../kernels/cases/check.ts";
import { inputsOf, type KernelCase } from "../../../kernels/cases/case.ts";
import { GRADIENT_CASES, KERNEL_CASES, OPERATION_CASES } from "../../../kernels/cases/mod.ts";
import { runCase } from "../../../kernels/cases/placed_case.ts";
import { assertNamesIndex, WRONG_INDICES } from "../../../kernels/cases/wrong_indices.ts";

/** A share of the cases. */
interface Shard {
  readonly index: number;
  readonly count: number;
  /** How many of them to leave out, from the first. */
  readonly from: number;
}

/** A case and how it is checked. */
interface Check {
  readonly it: KernelCase;
  run(kernels: KernelContext): void;
}

const CHECKS: readonly Check[] = [
  ...OPERATION_CASES.map((it) => ({
    it,
    run: (kernels: KernelContext) => assertMatchesReference(kernels, it),
  })),
  ...GRADIENT_CASES.map((it) => ({
    it,
    run: (kernels: KernelContext) => {
      assertMatchesDifferences(kernels, it);
      assertAccumulates(kernels, it);
    },
  })),
  ...WRONG_INDICES.map((wrong) => ({
    it: {
      ...wrong.kernelCase,
      name: `${wrong.kernelCase.operation} of ${wrong.indices} out of range`,
    },
    run: (kernels: KernelContext) => {
      for (const index of wrong.outside) assertNamesIndex(kernels, wrong, index);
    },
  })),
];

/** What is wrong with a case. */
interface Problem {
  readonly text: string;
  /** Whether the device is lost. */
  readonly isFatal: boolean;
}

function problemOf(check: () => void): Problem | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const isFatal = error instanceof DeviceError && error.status === Status.deviceFault;
    // One line each, so that a device's log stays readable.
    return { text: text.replaceAll(/\s*\n\s*/g, "; ").slice(0, 600), isFatal };
  }
}

/** What a shard's cases came to. */
interface Outcome {
  readonly ran: number;
  readonly failed: number;
  /** Operations that the library lacks, or lacks in bf16. */
  readonly lacking: ReadonlySet<string>;
  readonly beyond: number;
  /** How many of the shard's cases were reached before the device was lost; null: all. */
  readonly lostAfter: number | null;
}

function runAll(kernels: KernelContext, { index, count, from }: Shard): Outcome {
  const lacking = new Set<string>();
  let [ran, failed, beyond] = [0, 0, 0];
  const checks = CHECKS.filter((_, i) => i % count === index);
  for (const [i, { it, run }] of checks.entries()) {
    if (i < from) continue;
    const start = performance.now();
    let isRun = true;
    const problem = problemOf(() => {
      isRun = !isBeyond(kernels, it);
      if (!isRun) return;
      run(kernels);
      assertRepeats(kernels, it);
    });
    if (!isRun) {
      beyond++;
      lacking.add(it.dtype === "bf16" ? `${it.operation} bf16` : it.operation);
      continue;
    }
    ran++;
    if (problem !== undefined) failed++;
    const milliseconds = (performance.now() - start).toFixed(0);
    console.log(
      problem === undefined
        ? `ok ${it.name} (${milliseconds} ms)`
        : `FAILED ${it.name}: ${problem.text}`,
    );
    if (problem?.isFatal) return { ran, failed, lacking, beyond, lostAfter: i + 1 };
  }
  return { ran, failed, lacking, beyond, lostAfter: null };
}

function shardOf(text: string | undefined, from: string | undefined): Shard {
  const [index = 0, count = 1] = (text ?? "0/1").split("/").map(Number);
  return { index, count, from: Number(from ?? 0) };
}

/** Adds a line to the file of results, if there is one. */
function note(result: Readonly<Record<string, unknown>>): void {
  const path = Deno.env.get("REMOE_RESULTS");
  if (path === undefined) return;
  Deno.writeTextFileSync(path, JSON.stringify(result) + "\n", { append: true });
}

/** Runs the cases from `from` on in another process; returns its exit code. */
function goOn(path: string, shard: string, from: number): number {
  const args = [
    "run",
    "-A",
    "--no-config",
    "--cached-only",
    Deno.mainModule,
    path,
    shard,
    `${from}`,
  ];
  return new Deno.Command(Deno.execPath(), { args, stdout: "inherit", stderr: "inherit" })
    .outputSync().code;
}

/** The first, the middle and the last case of each operation, in each type. */
function fewCases(): KernelCase[] {
  const groups = Map.groupBy(KERNEL_CASES, ({ operation, dtype }) => `${operation} ${dtype}`);
  return [...groups.values()].flatMap((cases) => {
    const last = cases.length - 1;
    return [...new Set([0, Math.floor(last / 2), last])].map((i) => cases[i]!);
  });
}

function runOnce(kernels: KernelContext): void {
  let ran = 0;
  for (const it of fewCases()) {
    if (isBeyond(kernels, it)) continue;
    runCase(kernels, it, inputsOf(it));
    ran++;
  }
  kernels.check(kernels.symbols.remoe_synchronize(kernels.handle), "synchronize");
  console.log(`${ran} cases, called once`);
}

if (import.meta.main) {
  const [path, shard = "0/1", from] = Deno.args;
  if (path === undefined) throw new TypeError("run_cases: name the kernel library");
  using kernels = KernelContext.create(openLibrary(path), { ownsLibrary: true });
  if (shard === "once") {
    runOnce(kernels);
    Deno.exit(0);
  }
  const { ran, failed, beyond, lacking, lostAfter } = runAll(kernels, shardOf(shard, from));
  if (lacking.size > 0) console.log(`lacking: ${[...lacking].sort().join(", ")}`);
  console.log(`${ran} cases, ${failed} failed; ${beyond} of functions that the library lacks`);
  note({ part: "cases", shard, ran, failed, beyond });
  if (ran === 0 || failed > 0) Deno.exitCode = 1;
  if (lostAfter !== null) {
    console.log("the device is lost: another process goes on");
    goOn(path, shard, lostAfter);
  }
}
