/** Chooses the scorer of a model. @module */

import type { Device } from "../autograd/device.ts";
import { type RouterChoice, routerOf } from "../moe/router_of.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import { CacheScorer } from "./cache_scorer.ts";
import { LogitsScorer } from "./logits_scorer.ts";
import type { Scorer } from "./scorer.ts";

/** What a scorer needs. */
export interface ScorerOptions {
  /** The model's device. */
  readonly device: Device;
  /** The model. */
  readonly model: LanguageModel<Real>;
  /** Tokens per batch. */
  readonly batch?: number | undefined;
}

/**
 * Makes the scorer of a model. A router that sees later tokens cannot continue what is in a cache:
 * its model reads whole sequences, as in validation.
 *
 * @param moe The model's router.
 * @param options The model and its device.
 * @returns The scorer.
 */
export function scorerFor(moe: RouterChoice, { device, model, batch }: ScorerOptions): Scorer {
  const { causal, merges } = routerOf(moe);
  const Kind = causal && !merges ? CacheScorer : LogitsScorer;
  return new Kind(device, model, batch);
}
