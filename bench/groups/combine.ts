import { expertsCase, type ExpertsOptions } from "../../kernels/cases/experts.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelBench } from "../harness/kernel_case.ts";
import { mixturesOf, type Sizes } from "../harness/sizes.ts";
import { expertOperands } from "./experts.ts";

/**
 * The gathering of rows and the gated sum of results. Neither is a kernel of its own: with experts
 * of width 1, they are what remains of the experts' forward pass.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function combineCases(sizes: Sizes): BenchCase[] {
  const { model, hidden, tokens } = sizes;
  return mixturesOf(sizes).map(({ experts, active, full }) => {
    const options: ExpertsOptions = {
      tokens,
      hidden,
      width: 1,
      experts,
      density: active / experts,
    };
    return kernelBench({
      group: "combine",
      model,
      kernelCase: expertsCase(options),
      operands: () => expertOperands("experts_forward", options),
      full,
    });
  });
}
