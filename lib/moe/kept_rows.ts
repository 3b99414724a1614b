/** How much of the experts' forward pass is kept for the backward pass. @module */

/**
 * The routed rows of a layer whose pre-activations are kept from the forward pass to the backward
 * pass; those of rows beyond are computed again there, to the same bits.
 *
 * A row takes 2 · width floats. Layers that share one of these can be told between steps to keep
 * more or fewer: a ReLU router's rows fall from E·T to k·T as it becomes sparse.
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
 * kept.rows = 0; // from the next step on, all are computed again
 * ```
 */
export interface KeptRows {
  /** Rows of a layer and micro-batch, at least 0; more than there are keeps all. */
  rows: number;
}
