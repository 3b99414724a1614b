/**
 * How many bytes of logits a run keeps for the gradient of its loss.
 *
 * @module
 */

import type { Device } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import { LOGIT_SHARE } from "../tensor/device_memory.ts";
import { layerRows } from "./layer_rows.ts";
import { estimateAt } from "./memory_estimate.ts";

/**
 * Bounds the logits that a run keeps: by a share of the device's memory, which is the same for every
 * run on it. Only a run that would otherwise be refused keeps none: recomputed logits differ by
 * rounding, and settings of memory are not to change what a run computes.
 *
 * @param device The device that will train; null: not known, its memory is taken for the limit.
 * @param config The full configuration.
 * @param limit Bytes of device memory that the run may take.
 * @returns Bytes.
 */
export function logitBytes(device: Device | null, config: TrainConfig, limit: number): number {
  const most = (device?.info().memoryBytes ?? limit) / LOGIT_SHARE;
  const { dense } = layerRows(config);
  return estimateAt(device, config, dense, 0, most).total <= limit ? most : 0;
}
