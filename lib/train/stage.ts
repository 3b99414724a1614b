/**
 * The three stages of training with ReLU routing (section 3.5 of the paper): dense, sparsifying,
 * sparse. Training never branches on them; they report how far the adaptation of λ has come.
 *
 * @module
 */

import { requireFinite, requireOneOf, requireOptions } from "../arguments.ts";
import { STAGES, type StageState } from "../checkpoint/stage.ts";
import { BASE } from "../config/presets.ts";
import { ConfigError } from "../errors.ts";
import { sparseFrom } from "../moe/router_of.ts";
import { ROUTER_NAMES, type RouterName, ROUTERS } from "../moe/routers.ts";

/** What a step measured that decides the stage. */
export interface StageObservation {
  /** The step, counted from 1. */
  readonly step: number;
  /** λ that the step used. */
  readonly lambda: number;
  /** L_reg of equation 9 or 10. */
  readonly l1_reg: number;
  /** The language-model loss, without regularisation. */
  readonly loss: number;
  /** S of equation 8. */
  readonly sparsity: number;
  /** The target sparsity, `1 - k/E`. */
  readonly target: number;
}

/** Share of the language-model loss from which on the regularisation counts as significant. */
const SIGNIFICANT = 0.001;

/**
 * The stage that a run begins in.
 *
 * @param router The run's router.
 * @returns `sparse`, from step 0, if the router is at its target by construction, like TopK;
 * otherwise `dense`.
 * @throws {ConfigError} If there is no such router.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { initialStage } from "@remoe/remoe/train";
 *
 * assert(initialStage("relu").stage === "dense");
 * assert(initialStage("topk").stage === "sparse");
 * ```
 */
export function initialStage(router: RouterName): StageState {
  if (!ROUTER_NAMES.includes(router)) {
    throw new ConfigError(
      `Cannot begin a stage: router is ${router}, expected one of ${ROUTER_NAMES.join(", ")}`,
    );
  }
  return stageAt(0, sparseFrom(ROUTERS[router], BASE.moe));
}

/**
 * The stage after `step` steps, for a router that is sparse by construction once `from` steps have
 * been taken, or never (null). The step after them is the first sparse one; 0 stands for a run that
 * was never anything else.
 */
export function stageAt(step: number, from: number | null): StageState {
  if (from === null || (from > 0 && step <= from)) {
    return { stage: "dense", sparsifying_from: null, sparse_from: null };
  }
  const first = from === 0 ? 0 : from + 1;
  return { stage: "sparse", sparsifying_from: first, sparse_from: first };
}

/**
 * The stage after a step. It only moves forward: to `sparsifying` at the first step with
 * λ·L_reg >= 0.001·L_lm, and to `sparse` at the first later step with S >= target.
 *
 * @param state The stage before the step.
 * @param step What the step measured.
 * @returns The stage after it.
 * @throws {TypeError} If `state` or `step` is not an object, or there is no such stage.
 * @throws {RangeError} If a figure is not finite.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { advanceStage, initialStage } from "@remoe/remoe/train";
 *
 * const step = { step: 70, lambda: 0.1, l1_reg: 0.2, loss: 3, sparsity: 0.4, target: 0.875 };
 * const state = advanceStage(initialStage("relu"), step);
 * assertEquals(state.stage, "sparsifying");
 * assertEquals(advanceStage(state, { ...step, step: 90, sparsity: 0.88 }).sparse_from, 90);
 * ```
 */
export function advanceStage(state: StageState, step: StageObservation): StageState {
  const operation = "advance the stage";
  requireOptions(operation, state);
  requireOptions(operation, step);
  requireOneOf(operation, "state.stage", state.stage, STAGES);
  for (const name of ["step", "lambda", "l1_reg", "loss", "sparsity", "target"] as const) {
    requireFinite(operation, name, step[name]);
  }
  if (state.stage === "dense" && step.lambda * step.l1_reg >= SIGNIFICANT * step.loss) {
    return { ...state, stage: "sparsifying", sparsifying_from: step.step };
  }
  if (state.stage === "sparsifying" && step.sparsity >= step.target) {
    return { ...state, stage: "sparse", sparse_from: step.step };
  }
  return state;
}
