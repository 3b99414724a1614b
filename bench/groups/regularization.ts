import { reluRouterGradientCase } from "../../kernels/cases/relu_router.ts";
import { topkRouterGradientCase } from "../../kernels/cases/topk_router.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelBench } from "../harness/kernel_case.ts";
import { mixturesOf, type Sizes } from "../harness/sizes.ts";

/**
 * Gradients of the gates including the regularisation: the L1 term of equations 9 and 10, and
 * Switch's balance loss.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function regularizationCases(sizes: Sizes): BenchCase[] {
  const { model, tokens } = sizes;
  return mixturesOf(sizes).flatMap(({ experts, active, full }) =>
    [
      reluRouterGradientCase({ tokens, experts, balance: "plain", active }),
      reluRouterGradientCase({ tokens, experts, balance: "load", active }),
      topkRouterGradientCase({ tokens, experts, active }),
    ].map((kernelCase) => kernelBench({ group: "regularization", model, kernelCase, full }))
  );
}
