/**
 * A run's final figures, for a table.
 *
 * @module
 */

import { targetSparsity } from "../autograd/lambda_rule.ts";
import { largest, smallest } from "../extremes.ts";
import { countParameters } from "../model/parameter_count.ts";
import { choosesExperts, routerOf } from "../moe/router_of.ts";
import { median } from "../median.ts";
import { smooth } from "./curves.ts";
import type { RunFigures } from "./run_figures.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** A run's final figures; null where it has none. */
export interface FinalFigures {
  /** The last step. */
  readonly step: number;
  /** Steps configured. */
  readonly steps: number;
  /** Tokens seen. */
  readonly tokens: number;
  /** Parameters in total, and those active per token. */
  readonly parameters: { readonly total: number; readonly active: number };
  /** Mean training loss of the last fiftieth of the steps, nats per token. */
  readonly loss: number | null;
  /** Last validation loss, nats per token. */
  readonly validLoss: number | null;
  /** That beyond Lory's first segment: all that it routes causally. */
  readonly validLossLater: number | null;
  /** That of Lory's first segment; null for other routers. */
  readonly validLossNoncausal: number | null;
  /** The same in bits per byte. */
  readonly bitsPerByte: number | null;
  /** Mean sparsity of the last fiftieth of the steps. */
  readonly sparsity: number | null;
  /** The target sparsity. */
  readonly target: number | null;
  /** Lowest and highest sparsity of a layer at the last step. */
  readonly layers: readonly [number, number] | null;
  /** λ at the last step. */
  readonly lambda: number | null;
  /** The first step of the sparse stage. */
  readonly sparseFrom: number | null;
  /** Largest load of an expert as a multiple of the fair share, mean of the last steps. */
  readonly largestLoad: number | null;
  /** Experts, over all layers, that got no row in the last steps. */
  readonly idleExperts: number | null;
  /** Median tokens per second. */
  readonly tokensPerSecond: number | null;
  /** Peak device memory in bytes. */
  readonly memory: number | null;
}

/**
 * Computes a run's final figures.
 *
 * @param run The run.
 * @returns The figures.
 */
export function finalFigures(run: RunFigures): FinalFigures {
  const { config, figures, last, stages, validations, finalLoad } = run;
  const { moe } = config;
  const router = routerOf(moe);
  const { routed, lambda } = router;
  const isSparse = choosesExperts(router);
  const validation = validations.at(-1);
  const ratios = finalLoad.load.flatMap((shares) => shares.map((share) => share * shares.length));
  const last50th = (name: "loss" | "sparsity"): number | null =>
    finite(smooth(figures[name], 2 * Math.ceil(figures[name].length / 50)).at(-1)?.value);
  return {
    step: last.step,
    steps: config.steps,
    tokens: last.tokens,
    parameters: countParameters(config.model, moe),
    loss: last50th("loss"),
    validLoss: finite(validation?.valid_loss),
    // Runs of earlier versions have it only for Lory.
    validLossLater: finite(validation?.valid_loss_later ?? validation?.valid_loss_causal),
    validLossNoncausal: finite(validation?.valid_loss_noncausal),
    bitsPerByte: finite(validation?.valid_bits_per_byte),
    sparsity: isSparse ? last50th("sparsity") : null,
    target: isSparse ? targetSparsity(routedSizes(moe)) : null,
    layers: isSparse ? [smallest(last.sparsity_per_layer), largest(last.sparsity_per_layer)] : null,
    lambda: lambda ? finite(last.lambda) : null,
    sparseFrom: lambda ? sparseFrom(stages) : null,
    largestLoad: routed ? largest(ratios) : null,
    idleExperts: routed ? ratios.filter((ratio) => ratio === 0).length : null,
    tokensPerSecond: finite(
      median(figures.tokens_per_second.map(({ value }) => value).filter(Number.isFinite)),
    ),
    memory: finite(
      figures.memory_bytes.reduce((most, { value }) => value > most ? value : most, -Infinity),
    ),
  };
}

/** Null if the steps read begin in the sparse stage: it may have begun before them. */
function sparseFrom(stages: RunFigures["stages"]): number | null {
  const index = stages.findIndex(({ stage }) => stage === "sparse");
  return index > 0 ? stages[index]!.step : null;
}

function finite(value: number | null | undefined): number | null {
  return Number.isFinite(value) ? value! : null;
}
