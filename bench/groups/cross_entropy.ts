import { keptLogits } from "../../lib/autograd/cross_entropy.ts";
import {
  crossEntropyCase,
  crossEntropyGradientCase,
  crossEntropyKeptCase,
} from "../../kernels/cases/cross_entropy.ts";
import { Random } from "../../kernels/cases/random.ts";
import { tokenScoresCase } from "../../kernels/cases/token_scores.ts";
import type { BenchCase } from "../harness/case.ts";
import { fromForward, host, kernelBench, normal, type Operands } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/** Tokens of a short continuation. */
const FEW = 8;

/** The most bytes of logits that a benchmark keeps. */
const MOST_LOGITS = 2 ** 29;

/**
 * The output head with its loss: forward; the gradient with recomputed logits; and with logits kept
 * from the forward pass, as training does on a device whose memory is many times as large. And its
 * scores, of a batch and of few tokens.
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
  const gradientOperands = (): Operands => ({
    ...operands(),
    dloss: host(Float32Array.of(1)),
    loss: fromForward(2),
    normalizer: fromForward(2 * headTokens),
  });
  const group = "cross entropy";
  const cases = [
    kernelBench({ group, model, kernelCase: forward, operands }),
    kernelBench({
      group,
      model,
      kernelCase: crossEntropyGradientCase(head),
      operands: gradientOperands,
      forward,
    }),
  ];
  for (const tokens of [headTokens, FEW]) {
    cases.push(kernelBench({
      ...{ group, model, kernelCase: tokenScoresCase({ ...head, tokens }) },
      operands: () => ({
        x: normal(tokens * hidden),
        w: normal(hidden * vocabulary, 1 / Math.sqrt(hidden)),
        targets: host(new Random("targets").integers(tokens, vocabulary)),
      }),
    }));
  }
  const logits = keptLogits(headTokens, vocabulary, "f32", MOST_LOGITS);
  if (logits === 0) return cases;
  const kept = { ...head, logitStride: logits / headTokens };
  return [
    ...cases,
    kernelBench({
      group,
      model,
      kernelCase: crossEntropyKeptCase(kept),
      operands: () => ({ ...gradientOperands(), logits: fromForward(logits) }),
      forward: crossEntropyCase(kept),
    }),
  ];
}
