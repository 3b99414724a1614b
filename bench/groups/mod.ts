/** Every case of `deno bench`, in the order of a training step. @module */

import type { BenchCase } from "../harness/case.ts";
import { MODELS, type Sizes } from "../harness/sizes.ts";
import { attentionCases } from "./attention.ts";
import { combineCases } from "./combine.ts";
import { crossEntropyCases } from "./cross_entropy.ts";
import { dispatchCases } from "./dispatch.ts";
import { expertsCases } from "./experts.ts";
import { gemmCases } from "./gemm.ts";
import { layerCases } from "./layer.ts";
import { optimizerCases } from "./optimizer.ts";
import { regularizationCases } from "./regularization.ts";
import { routerCases } from "./router.ts";
import { stepCases } from "./step.ts";

const GROUPS: readonly ((sizes: Sizes) => BenchCase[])[] = [
  gemmCases,
  routerCases,
  dispatchCases,
  regularizationCases,
  expertsCases,
  combineCases,
  attentionCases,
  crossEntropyCases,
  optimizerCases,
  layerCases,
];

/**
 * Lists every case once, group by group, from small models to large.
 *
 * @returns The cases, large ones included.
 */
export function allCases(): BenchCase[] {
  const cases = [...GROUPS.flatMap((group) => MODELS.flatMap(group)), ...stepCases()];
  // E=64 and E=8 in 8 parts are the same to a ReLU router; the one that is not `full` is kept.
  const ordered = cases.toSorted((a, b) => Number(a.full ?? false) - Number(b.full ?? false));
  const first = new Map(ordered.toReversed().map((benchCase) => [keyOf(benchCase), benchCase]));
  return cases.filter((benchCase) => first.get(keyOf(benchCase)) === benchCase);
}

function keyOf({ group, name }: BenchCase): string {
  return `${group}: ${name}`;
}
