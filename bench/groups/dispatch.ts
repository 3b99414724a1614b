import { dispatchPlanCase } from "../../kernels/cases/dispatch_plan.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelBench } from "../harness/kernel_case.ts";
import { mixturesOf, type Sizes } from "../harness/sizes.ts";

/**
 * The dispatch plan with every gate open, as in stage I, and at the target sparsity, as in stage
 * III.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function dispatchCases(sizes: Sizes): BenchCase[] {
  const { model, tokens } = sizes;
  return mixturesOf(sizes).flatMap(({ experts, active, full }) =>
    [1, active / experts].map((density) =>
      kernelBench({
        group: "dispatch",
        model,
        kernelCase: dispatchPlanCase({ tokens, experts, density }),
        full,
      })
    )
  );
}
