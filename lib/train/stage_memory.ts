/**
 * Estimates how much device memory a run will need, before it starts.
 *
 * @module
 */

import { routedLayers } from "../config/layer_widths.ts";
import { requireOptions } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import { requireBytes, requireConfig } from "../config/require.ts";
import { keptBudget, keptRows } from "./kept_rows_plan.ts";
import { layerRows } from "./layer_rows.ts";
import { logitBytes } from "./logit_bytes.ts";
import { estimateAt, type MemoryEstimate } from "./memory_estimate.ts";

/** A run's memory in its first stage and in its last. */
export interface StageMemory {
  /**
   * The stage in which every expert may see every token, N = E·T. Routers that are sparse from the
   * start skip it, and have the figures of `sparse` here.
   */
  readonly dense: MemoryEstimate;
  /** The stage at the target sparsity, N = k·T. */
  readonly sparse: MemoryEstimate;
}

/** What {@linkcode estimateMemory} needs besides the configuration. */
export interface EstimateOptions {
  /** Bytes of device memory that the run may use; default: no limit. */
  readonly limit?: number;
  /**
   * The device that will train: its kernels state their scratch memory. Without one, or if its
   * library does not state it, only what every build needs is counted, which is less.
   */
  readonly device?: Device;
}

/**
 * Estimates device memory by stage.
 *
 * Counted are weights, their bf16 copies, gradients and AdamW's moments; per layer, what a micro-batch keeps from its
 * forward to its backward pass: residual inputs, norm outputs, the fused query, key and value, the
 * attention's output and log-sum-exp, gates and what they came from, dispatch plan, and
 * pre-activations of the routed rows; and the largest of these: the scratch of the experts' backward
 * pass with the gradients in flight around it, the gradients of the router, the logits of the output
 * head with its scratch, or what a router takes while it routes, such as SparseMixer's draws.
 *
 * Not counted are the memory pool's reserve, and JavaScript's heap with the text and the program.
 *
 * @param config The full configuration.
 * @param options The device, and the limit to stay within by keeping the pre-activations of fewer
 * rows.
 * @returns The estimates for the dense and for the sparse stage.
 * @throws {ConfigError} If the configuration is incomplete or invalid.
 * @throws {RangeError} If the limit is not a number above 0.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { estimateMemory, parseConfig } from "@remoe/remoe/train";
 *
 * const config = parseConfig({ preset: "182m", data: { micro_batch: 2 } });
 * const { dense, sparse } = estimateMemory(config, { limit: 16 * 2 ** 30 });
 * assert(dense.kept_rows < dense.rows && dense.total <= 16 * 2 ** 30);
 * assert(sparse.kept_rows > sparse.rows && sparse.total < dense.total);
 * ```
 */
export function estimateMemory(config: TrainConfig, options: EstimateOptions = {}): StageMemory {
  requireOptions("estimate memory", options, { limit: true, device: true });
  const { limit = Infinity, device = null } = options;
  requireConfig(config);
  requireBytes("estimate memory", "limit", limit);
  if (options.device !== undefined) memoryOf(options.device);
  const { dense, sparse } = layerRows(config);
  const logits = logitBytes(device, config, limit);
  const [first, last] = [dense, sparse].map((rows) =>
    estimateAt(device, config, rows, keptAt(device, config, rows, limit), logits)
  );
  return { dense: first!, sparse: last! };
}

/** Rows that a layer keeps if all layers route the same number of rows. */
function keptAt(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  limit: number,
): number {
  const layers = new Array<number>(routedLayers(config)).fill(rows);
  return keptRows(config, layers, keptBudget(device, config, limit))[0] ?? 0;
}
