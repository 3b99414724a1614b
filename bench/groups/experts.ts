import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
  expertsRouting,
} from "../../kernels/cases/experts.ts";
import type { KernelCase } from "../../kernels/cases/case.ts";
import type { BenchCase } from "../harness/case.ts";
import { host, kernelBench, normal, type Operands } from "../harness/kernel_case.ts";
import { type Mixture, mixturesOf, type Sizes } from "../harness/sizes.ts";

/** Layers with more bytes of weights and gradients are left out of the default selection. */
const MOST_WEIGHT_BYTES = 2 ** 32;

/**
 * The experts at the target sparsity; for E=8 also with every gate open, as in stage I, on fewer
 * tokens so that as many rows are routed.
 *
 * @param sizes The model.
 * @returns The cases, forward and gradient.
 */
export function expertsCases(sizes: Sizes): BenchCase[] {
  const { model, hidden, expertTokens: tokens } = sizes;
  return mixturesOf(sizes).flatMap((mixture) => {
    const { experts, active } = mixture;
    const isDefault = experts === 8 && active === 1;
    return [
      ...layerCases(model, { hidden, tokens, density: active / experts }, mixture),
      ...isDefault
        ? layerCases(model, { hidden, tokens: tokens / experts, density: 1 }, mixture)
        : [],
    ];
  });
}

function layerCases(
  model: string,
  layer: Pick<ExpertsOptions, "hidden" | "tokens" | "density">,
  { experts, width, full }: Mixture,
): BenchCase[] {
  const options: ExpertsOptions = { ...layer, experts, width };
  const weightBytes = 4 * 3 * experts * layer.hidden * width;
  const bench = (kernelCase: KernelCase, operands: () => Operands, isLarge: boolean): BenchCase =>
    kernelBench({ group: "experts", model, kernelCase, operands, full: full || isLarge });
  return [
    bench(
      expertsCase(options),
      () => expertOperands("experts_forward", options),
      weightBytes > MOST_WEIGHT_BYTES,
    ),
    bench(
      expertsGradientCase(options),
      () => expertOperands("experts_gradient", options),
      2 * weightBytes > MOST_WEIGHT_BYTES,
    ),
  ];
}

/**
 * Draws the operands of a layer of experts, including pre-activations distributed like those that
 * the forward pass would leave.
 *
 * @param operation Which of the two kernels.
 * @param options Sizes and routing.
 * @returns The operands.
 */
export function expertOperands(
  operation: "experts_forward" | "experts_gradient",
  options: ExpertsOptions,
): Operands {
  const { tokens, hidden, width, experts } = options;
  const { gates, buffer, capacity } = expertsRouting(operation, options);
  return {
    x: normal(tokens * hidden),
    w1: normal(experts * hidden * 2 * width, 1 / Math.sqrt(hidden)),
    w2: normal(experts * width * hidden, 1 / Math.sqrt(width)),
    gates: host(gates),
    plan: host(buffer),
    ...(operation === "experts_gradient"
      ? { dy: normal(tokens * hidden), h: normal(capacity * 2 * width) }
      : {}),
  };
}
