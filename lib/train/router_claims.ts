/** Holds the router of a user's file to what its row says. @module */

import type { StepReadout } from "../autograd/step_readout.ts";
import type { TrainConfig } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { mostActive, routerOf } from "../moe/router_of.ts";
import { routedRows } from "./routed_rows.ts";

/** Compares steps with the row. The library's own rows are tested. */
export class RouterClaims {
  readonly #config: TrainConfig;
  #isFirst = true;

  constructor(config: TrainConfig) {
    this.#config = config;
  }

  /**
   * Takes a step.
   *
   * @param step The step, counted from 1.
   * @param readout Its results.
   * @returns Remarks on the router; none after the first step.
   * @throws {ConfigError} If a layer routed more rows than the row allows: memory, and the steps of
   * a comparison at equal compute, were planned with fewer.
   */
  check(step: number, readout: StepReadout): string[] {
    const { moe } = this.#config;
    if (moe.router_file === undefined) return [];
    this.#requireBound(step, readout);
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    return isFirst ? regularizationRemarks(this.#config, readout) : [];
  }

  #requireBound(step: number, readout: StepReadout): void {
    const { data, moe } = this.#config;
    const tokens = data.batch * data.sequence;
    const most = mostActive(routerOf(moe), moe, step - 1);
    const allowed = Math.ceil(most * tokens);
    const rows = routedRows(this.#config, readout);
    const layer = rows.findIndex((count) => count > allowed);
    if (layer < 0) return;
    throw new ConfigError(
      `Cannot use the router ${moe.router}: step ${step} routed ${rows[layer]} rows in layer ` +
        `${layer} for ${tokens} tokens, and the row's activeFrom() allows ${allowed}, ${most} per ` +
        `token; raise the bound, or leave out exact and activeFrom`,
    );
  }
}

/** A term without a λ that moves, and a λ without a term, both leave the sparsity to itself. */
function regularizationRemarks({ moe }: TrainConfig, { l1, sparsity }: StepReadout): string[] {
  const router = routerOf(moe);
  if (!router.lambda && l1 > 0) {
    return [
      `the router ${moe.router} regularizes its gates, but its row is without lambda: true, so λ ` +
      `does not follow the sparsity`,
    ];
  }
  if (router.adapts(moe) && l1 === 0 && sparsity < 1) {
    return [
      `the row of the router ${moe.router} has lambda: true, but no gates are regularized, so λ ` +
      `moves without effect; give routingOf() regularization: { state }`,
    ];
  }
  return [];
}
