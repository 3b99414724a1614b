/** What a step leaves in its state, and where it lies there. @module */

import { RecordField, StateSlot } from "../ffi/codes.ts";
import { stateRecord } from "../ffi/layouts.ts";

/** Routing of one layer over one step. */
export interface LayerRouting {
  /** Tokens routed to each expert. */
  readonly counts: Float64Array;
  /** Tokens with no active expert. */
  readonly tokensWithoutExpert: number;
}

/** All that a step leaves, read back at once. */
export interface StepReadout {
  /** Coefficient of the L1 term, for the next step. */
  readonly lambda: number;
  /** Share of pairs of token and expert that were not routed, equation 8. */
  readonly sparsity: number;
  /** Pairs of token and active expert, over all layers. */
  readonly activePairs: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  /** Factor by which clipping scaled them. */
  readonly clipScale: number;
  /** Whether the gradient's norm was infinite or not a number: the step was not taken. */
  readonly notFinite: boolean;
  /** Language-model loss, the mean over micro-batches, in nats. */
  readonly loss: number;
  /** The L1 term without λ, equation 9 or 10. */
  readonly l1: number;
  /** TopK's balance loss without its coefficient, summed over layers. */
  readonly balance: number;
  /** Whether a dispatch plan had too few rows. */
  readonly overflow: boolean;
  /** Routing of each layer. */
  readonly layers: readonly LayerRouting[];
}

/** Names the figures of a state. */
export function readoutOf(all: Float64Array, layers: number, experts: number): StepReadout {
  return {
    lambda: all[StateSlot.lambda]!,
    sparsity: all[StateSlot.sparsity]!,
    activePairs: all[StateSlot.activePairs]!,
    gradientNorm: all[StateSlot.gradientNorm]!,
    clipScale: all[StateSlot.clipScale]!,
    notFinite: all[StateSlot.notFinite] !== 0,
    loss: all[StateSlot.loss]!,
    l1: all[StateSlot.l1]!,
    balance: all[StateSlot.balance]!,
    overflow: all[StateSlot.overflow] !== 0,
    layers: Array.from({ length: layers }, (_, layer) => routingOf(all, layer, experts)),
  };
}

function routingOf(all: Float64Array, layer: number, experts: number): LayerRouting {
  const start = stateRecord(layer, experts);
  const counts = start + RecordField.extra;
  return {
    counts: all.slice(counts, counts + experts),
    tokensWithoutExpert: all[start + RecordField.withoutExpert]!,
  };
}
