/** Measures routing flips on a run's calibration tokens. @module */

import { flipsBetween } from "../analyze/flip_rate.ts";
import { collectMasks, type HostMask } from "../analyze/host_mask.ts";
import type { TrainConfig } from "../config/config.ts";
import { routedLayers } from "../config/layer_widths.ts";
import type { Batch } from "../data/batches/batches.ts";
import { ValidationSet } from "../data/batches/validation_set.ts";
import type { CorpusSide } from "../data/corpus/tokenized_text.ts";
import type { RoutingObserver } from "../moe/routing_context.ts";
import type { FlipMetrics } from "../run/metrics_line.ts";

/** Runs the model on a batch and reports the routing of each layer. */
export type RouteBatch = (batch: Batch, onRouting: RoutingObserver) => void;

/**
 * Compares the routing before and after a step on the same tokens: one micro-batch of held-out
 * rows, spread evenly over the text.
 */
export class FlipMeter {
  readonly #layers: number;
  readonly #batch: Batch;
  #steps = -1;
  #masks: readonly HostMask[] = [];

  /**
   * Chooses the calibration tokens.
   *
   * @param config The configuration.
   * @param text The held-out text.
   * @throws {DataError} If the text is shorter than a row and its last target.
   */
  constructor(config: TrainConfig, text: CorpusSide) {
    const { sequence, micro_batch: rows } = config.data;
    const set = new ValidationSet(text.tokens, { sequence, batch: rows, rows });
    this.#layers = routedLayers(config);
    [this.#batch] = [...set] as [Batch];
  }

  /**
   * Notes the routing before a step.
   *
   * @param steps Steps taken so far.
   * @param route The model.
   */
  begin(steps: number, route: RouteBatch): void {
    // Where every step is measured, the last measurement has left the masks.
    if (steps === this.#steps) return;
    this.#masks = this.#measure(route);
    this.#steps = steps;
  }

  /**
   * Compares the routing after the step with the noted one.
   *
   * @param steps Steps taken so far, one more than at {@linkcode FlipMeter.begin}.
   * @param route The model.
   * @returns The metrics.
   */
  end(steps: number, route: RouteBatch): FlipMetrics {
    const before = this.#masks;
    this.#masks = this.#measure(route);
    this.#steps = steps;
    const { rate, count, ratePerLayer } = flipsBetween(before, this.#masks);
    return {
      step: steps,
      flip_rate: rate,
      flip_count: count,
      flip_rate_per_layer: ratePerLayer,
    };
  }

  #measure(route: RouteBatch): HostMask[] {
    return collectMasks(this.#layers, (onRouting) => route(this.#batch, onRouting));
  }
}
