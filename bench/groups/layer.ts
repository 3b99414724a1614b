import type { BenchCase } from "../harness/case.ts";
import { type Mixture, mixturesOf, type Sizes } from "../harness/sizes.ts";
import { BenchLayer, type LayerOptions, layerWork, type Pass } from "../models/layer.ts";

const PASSES: readonly Pass[] = ["forward", "forward and backward"];
/** Passes for all routers but ReLU at its target. */
const TRAINING: readonly Pass[] = ["forward and backward"];

/**
 * A complete MoE layer: router, plan and experts. ReLU at the target sparsity; for E=8 also TopK,
 * and ReLU with every gate open, on fewer tokens so that as many rows are routed.
 *
 * @param sizes The model.
 * @returns The cases.
 */
export function layerCases(sizes: Sizes): BenchCase[] {
  const { expertTokens: tokens } = sizes;
  return mixturesOf(sizes).flatMap((mixture) => {
    const { experts, active } = mixture;
    const density = active / experts;
    const isDefault = experts === 8 && active === 1;
    return [
      ...casesOf(sizes, mixture, { router: "relu", density, tokens }, PASSES),
      ...isDefault
        ? [
          ...casesOf(sizes, mixture, { router: "topk", density, tokens }, TRAINING),
          ...casesOf(
            sizes,
            mixture,
            { router: "relu", density: 1, tokens: tokens / experts },
            TRAINING,
          ),
        ]
        : [],
    ];
  });
}

function casesOf(
  { model, hidden }: Sizes,
  { experts, active, width }: Mixture,
  routing: Pick<LayerOptions, "router" | "density" | "tokens">,
  passes: readonly Pass[],
): BenchCase[] {
  const options: LayerOptions = { hidden, width, experts, active, ...routing };
  // Other mixtures are covered by the groups of single kernels, and by the sweep.
  const full = experts !== 8;
  const { router, density, tokens } = routing;
  return passes.map((pass) => ({
    group: "layer",
    name: `${model} MoE ${router} ${pass} [${tokens},${hidden}] E=${experts} W=${width} ` +
      `density ${density}`,
    ...layerWork(options, pass),
    full,
    prepare(device) {
      const layer = new BenchLayer(device, options);
      return { run: () => layer.run(pass), [Symbol.dispose]: () => layer[Symbol.dispose]() };
    },
  }));
}
