import { gemmCase, type GemmCaseOptions } from "../../kernels/cases/gemm.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelBench, normal } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/**
 * A model's dense products: the fused projection forward, and both of its gradients.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function gemmCases({ model, tokens, hidden, columns }: Sizes): BenchCase[] {
  const products: readonly GemmCaseOptions[] = [
    { m: tokens, n: columns, k: hidden },
    { m: tokens, n: hidden, k: columns, transposeB: true },
    { m: hidden, n: columns, k: tokens, transposeA: true },
  ];
  return products.map((product) => {
    const { m, n, k } = product;
    return kernelBench({
      group: "gemm",
      model,
      kernelCase: gemmCase(product),
      operands: () => ({ a: normal(m * k), b: normal(k * n) }),
    });
  });
}
