import { attentionCase, attentionGradientCase } from "../../kernels/cases/attention.ts";
import type { BenchCase } from "../harness/case.ts";
import { fromForward, kernelBench, normal } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/**
 * Causal attention of a micro-batch, forward and gradient.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function attentionCases(sizes: Sizes): BenchCase[] {
  const { model, batch, sequence, heads, groups, headDim, tokens, columns } = sizes;
  const attention = { batch, sequence, heads, groups, headDim };
  const outputs = tokens * heads * headDim;
  const forward = attentionCase(attention);
  const qkv = normal(tokens * columns);
  return [
    kernelBench({
      group: "attention",
      model,
      kernelCase: forward,
      operands: () => ({ qkv }),
    }),
    kernelBench({
      group: "attention",
      model,
      kernelCase: attentionGradientCase(attention),
      operands: () => ({
        qkv,
        dout: normal(outputs),
        out: fromForward(outputs),
        normalizer: fromForward(2 * tokens * heads),
      }),
      forward,
    }),
  ];
}
