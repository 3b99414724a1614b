import { crossEntropyCase, crossEntropyGradientCase } from "../../tests/cases/cross_entropy.ts";
import { Random } from "../../tests/cases/random.ts";
import type { BenchCase } from "../harness/case.ts";
import { fromForward, host, kernelBench, normal, type Operands } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/**
 * The output head with its loss, forward and gradient.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function crossEntropyCases({ model, headTokens, hidden, vocabulary }: Sizes): BenchCase[] {
  const head = { tokens: headTokens, hidden, vocabulary };
  const forward = crossEntropyCase(head);
  const operands = (): Operands => ({
    x: normal(headTokens * hidden),
    w: normal(hidden * vocabulary, 1 / Math.sqrt(hidden)),
    targets: host(new Random("targets").integers(headTokens, vocabulary)),
  });
  return [
    kernelBench({ group: "cross entropy", model, kernelCase: forward, operands }),
    kernelBench({
      group: "cross entropy",
      model,
      kernelCase: crossEntropyGradientCase(head),
      operands: () => ({
        ...operands(),
        dloss: host(Float32Array.of(1)),
        loss: fromForward(2),
        lse: fromForward(headTokens),
      }),
      forward,
    }),
  ];
}
