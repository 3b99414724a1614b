import { reluRouterCase } from "../../kernels/cases/relu_router.ts";
import { topkRouterCase } from "../../kernels/cases/topk_router.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelBench, normal, type Operands } from "../harness/kernel_case.ts";
import { mixturesOf, type Sizes } from "../harness/sizes.ts";

/**
 * Both routers forward. About half of the ReLU router's gates are open; its time does not depend on
 * how many are.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function routerCases(sizes: Sizes): BenchCase[] {
  const { model, tokens, hidden } = sizes;
  return mixturesOf(sizes).flatMap(({ experts, active, full }) => {
    const router = { tokens, hidden, experts };
    const operands = (): Operands => ({
      x: normal(tokens * hidden),
      w: normal(hidden * experts, 1 / Math.sqrt(hidden)),
    });
    return [reluRouterCase(router), topkRouterCase({ ...router, active })].map((kernelCase) =>
      kernelBench({ group: "router", model, kernelCase, operands, full })
    );
  });
}
