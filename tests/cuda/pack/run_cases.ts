/**
 * The case list on any kernel library: `deno run -A run_cases.ts LIBRARY`. Each case of a function
 * that the library has is compared with its float64 reference and run twice to check that the bits
 * are equal.
 *
 * @module
 */

import { KernelContext, openLibrary } from "../../../lib/ffi/mod.ts";
import {
  assertMatchesDifferences,
  assertMatchesReference,
  assertRepeats,
  isBeyond,
} from "../../../kernels/cases/check.ts";
import { GRADIENT_CASES, OPERATION_CASES } from "../../../kernels/cases/mod.ts";

/** Runs a case and returns the complaint, if any. */
function complaint(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function runAll(kernels: KernelContext): { ran: number; failed: number; beyond: number } {
  const checks = [
    ...OPERATION_CASES.map((it) => [it, () => assertMatchesReference(kernels, it)] as const),
    ...GRADIENT_CASES.map((it) => [it, () => assertMatchesDifferences(kernels, it)] as const),
  ];
  const able = checks.filter(([it]) => !isBeyond(kernels, it));
  let failed = 0;
  for (const [it, check] of able) {
    const start = performance.now();
    const problem = complaint(() => {
      check();
      assertRepeats(kernels, it);
    });
    if (problem !== undefined) failed++;
    const milliseconds = (performance.now() - start).toFixed(0);
    console.log(
      problem === undefined
        ? `ok ${it.name} (${milliseconds} ms)`
        : `FAILED ${it.name}: ${problem}`,
    );
  }
  return { ran: able.length, failed, beyond: checks.length - able.length };
}

if (import.meta.main) {
  const path = Deno.args[0];
  if (path === undefined) throw new TypeError("run_cases: name the kernel library");
  using kernels = KernelContext.create(openLibrary(path), { ownsLibrary: true });
  const { ran, failed, beyond } = runAll(kernels);
  console.log(`${ran} cases, ${failed} failed; ${beyond} of functions that the library lacks`);
  if (ran === 0 || failed > 0) Deno.exitCode = 1;
}
