/** Results of a step, decoded from its state buffer. @module */

import { largest } from "../extremes.ts";
import { RecordField, StateSlot } from "../ffi/codes.ts";
import { stateRecord } from "../ffi/layouts.ts";

/** Routing of one layer in one step. */
export interface LayerRouting {
  /** Tokens routed to each expert. */
  readonly counts: Float64Array;
  /** Tokens with no active expert. */
  readonly tokensWithoutExpert: number;
}

/** All results of a step, read back at once. */
export interface StepReadout {
  /** Coefficient of the L1 term in the next step. */
  readonly lambda: number;
  /** Fraction of token-expert pairs that were not routed, equation 8. */
  readonly sparsity: number;
  /** Active token-expert pairs over all layers. */
  readonly activePairs: number;
  /** Global gradient norm before clipping. */
  readonly gradientNorm: number;
  /** Factor by which clipping scaled the gradients. */
  readonly clipScale: number;
  /** Whether the gradient norm was infinite or NaN, in which case the step was skipped. */
  readonly notFinite: boolean;
  /** Mean language-model loss over micro-batches, in nats. */
  readonly loss: number;
  /** The L1 term without λ, equation 9 or 10. */
  readonly l1: number;
  /** Switch's balance loss without its coefficient, summed over layers. */
  readonly balance: number;
  /**
   * The z-loss without its coefficient: the mean over tokens of the squared log-sum-exp of a router's
   * logits, summed over layers; null if no router has one.
   */
  readonly zLoss: number | null;
  /**
   * Whether a layer routed more rows than its capacity, in which case the step was skipped, λ
   * included, and is to be taken again with more room.
   */
  readonly overflow: boolean;
  /** Routing of each layer. */
  readonly layers: readonly LayerRouting[];
}

/**
 * Slot of the z-loss, summed over tokens and layers. The kernels' layout of a state has none: it lies
 * behind the records, where they never look.
 */
export function zLossSlot(layers: number, experts: number): number {
  return stateRecord(layers, experts);
}

/** Doubles in a state's buffer. */
export function stateSize(layers: number, experts: number): number {
  return zLossSlot(layers, experts) + 1;
}

/** Decodes a state buffer, as if a z-loss had been added. */
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
    zLoss: all[zLossSlot(layers, experts)]! / tokensOf(all, layers, experts),
    overflow: all[StateSlot.overflow] !== 0,
    layers: Array.from({ length: layers }, (_, layer) => routingOf(all, layer, experts)),
  };
}

/** Tokens that a layer saw in the step; layers without a router saw none. */
function tokensOf(all: Float64Array, layers: number, experts: number): number {
  const seen = Array.from(
    { length: layers },
    (_, layer) => all[stateRecord(layer, experts) + RecordField.tokens]!,
  );
  return largest(seen);
}

function routingOf(all: Float64Array, layer: number, experts: number): LayerRouting {
  const start = stateRecord(layer, experts);
  const counts = start + RecordField.extra;
  return {
    counts: all.slice(counts, counts + experts),
    tokensWithoutExpert: all[start + RecordField.withoutExpert]!,
  };
}
