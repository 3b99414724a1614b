/** How many rows of the experts' pre-activations the forward pass keeps. @module */

import { requireWhole } from "../arguments.ts";

/**
 * Number of routed rows per layer whose pre-activations are kept for the backward pass. The
 * backward pass recomputes the rest, to the same bits.
 *
 * A row takes 2 · width floats. The number may be changed between steps, for all layers that share
 * the object: a ReLU router's rows fall from E·T to k·T as it becomes sparse.
 *
 * @example
 * ```ts
 * import { Device, type KeptRows, meanSquaredError, MoE, ReluRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using router = new ReluRouter(device, { hidden: 16, experts: 4 });
 * const kept: KeptRows = { rows: 8 };
 * using layer = new MoE(device, { router, hidden: 16, width: 32, kept });
 * using tape = device.record();
 * const x = tape.watch(device.normal([10, 16]));
 * tape.backward(meanSquaredError(layer.forward(x).output, x));
 *
 * kept.rows = 0; // from the next step on, all are recomputed
 * ```
 */
export interface KeptRows {
  /** Rows per layer and micro-batch, at least 0; anything above the actual number keeps all. */
  rows: number;
}

/** Rows to keep, read and checked in every step: the caller may change them in between. */
export function keptRowsOf(operation: string, kept: KeptRows): number {
  const rows: unknown = kept?.rows;
  if (rows !== Infinity) requireWhole(operation, "kept.rows", rows);
  return rows as number;
}
