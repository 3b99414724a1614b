/** Watches λ's adaptation: the mean sparsity can be on target while layers are dead. @module */

import { targetSparsity } from "../autograd/lambda_rule.ts";
import type { TrainConfig } from "../config/config.ts";
import { routerOf } from "../moe/router_of.ts";
import type { StepMetrics } from "../run/metrics_line.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** Steps at the floor after which λ no longer controls anything. */
const STEPS_AT_FLOOR = 50;

/** Counts consecutive steps with λ at its floor. */
export class LambdaWatch {
  readonly #config: TrainConfig;
  #atFloor = 0;

  constructor(config: TrainConfig) {
    this.#config = config;
  }

  /** Takes a step; returns a warning once λ has been at its floor for 50 steps, else null. */
  observe(step: StepMetrics): string | null {
    const { moe } = this.#config;
    if (!routerOf(moe).adapts(moe)) return null;
    this.#atFloor = step.lambda <= moe.lambda_floor ? this.#atFloor + 1 : 0;
    if (this.#atFloor !== STEPS_AT_FLOOR) return null;
    const target = targetSparsity(routedSizes(moe));
    const over = step.sparsity_per_layer.flatMap((sparsity, layer) =>
      sparsity > target ? [`${layer} (${sparsity.toFixed(3)})`] : []
    );
    return `λ has been at its floor for ${STEPS_AT_FLOOR} steps: the language-model loss alone ` +
      `closes gates; layers above the target ${target}: ${over.join(", ") || "none"}; a lower ` +
      `learning rate or a larger init_std helps`;
  }
}
