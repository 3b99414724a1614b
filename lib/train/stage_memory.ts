/**
 * How much device memory a run will need, before it starts.
 *
 * @module
 */

import { requireOptions } from "../arguments.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import { requireBytes, requireConfig } from "../config/require.ts";
import { keptBudget, keptRows, layerRows } from "./kept_rows_plan.ts";
import { estimateAt, type MemoryEstimate } from "./memory_estimate.ts";

/** The two ends of a run's memory. */
export interface StageMemory {
  /**
   * The stage in which every expert may see every token, N = E·T. Routers that are sparse from
   * the start never get there, and have the figures of `sparse`.
   */
  readonly dense: MemoryEstimate;
  /** The stage at the target sparsity, N = k·T. */
  readonly sparse: MemoryEstimate;
}

/** What {@linkcode estimateMemory} needs besides the configuration. */
export interface EstimateOptions {
  /** Bytes of device memory that the run may take; default: no limit. */
  readonly limit?: number;
  /**
   * The device that will train: its kernels say what they take while they run. Without one, or where
   * its library does not say, only what every build takes is counted, which is less.
   */
  readonly device?: Device;
}

/**
 * Estimates device memory by stage.
 *
 * Counted: weights, gradients, AdamW's moments, and of each layer what a micro-batch keeps from
 * its forward pass to its backward pass: residual inputs, norm outputs, the fused query, key and
 * value, the attention's output and log-sum-exp, gates, dispatch plan, pre-activations of the
 * routed rows; then the scratch of the experts' backward pass and the gradients in flight around it,
 * or logits and scratch of the output head where they are larger.
 * Not counted: what the memory pool keeps in reserve, and the text and the program in JavaScript's
 * own memory.
 *
 * @param config The whole configuration.
 * @param options The limit to stay within, by keeping the pre-activations of fewer rows, and the
 * device.
 * @returns Bytes in the dense and in the sparse stage.
 * @throws {ConfigError} If the configuration is not whole.
 * @throws {RangeError} If the limit is no number above 0.
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
  const [first, last] = [dense, sparse].map((rows) =>
    estimateAt(device, config, rows, keptAt(device, config, rows, limit))
  );
  return { dense: first!, sparse: last! };
}

/** Rows that a layer keeps when all have the same number of rows. */
function keptAt(
  device: Device | null,
  config: TrainConfig,
  rows: number,
  limit: number,
): number {
  const layers = new Array<number>(config.model.layers).fill(rows);
  return keptRows(config, layers, keptBudget(device, config, limit))[0]!;
}
