/**
 * Random weights whose routers open the wanted share of gates, as trained ones do.
 *
 * Training a model of the paper's size to that stage takes days on a CPU, and speed depends on the
 * weights by the routing alone.
 *
 * @module
 */

import { savedTensors } from "../../lib/model/saved_tensors.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import type { RouterName } from "../../lib/moe/routers.ts";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { writeSafetensors } from "../../lib/checkpoint/write_safetensors.ts";
import type { Batch } from "../../lib/data/batches/batches.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { BenchModel } from "../models/model.ts";

/**
 * Writes such weights.
 *
 * @param device The device.
 * @param config Sizes and router, which chooses experts by its weights.
 * @param batch Tokens for which each expert gets its share of them exactly.
 * @param path The file.
 * @returns The share of (token, expert) pairs that are closed.
 */
export function writeSparseStart(
  device: Device,
  config: TrainConfig,
  batch: Batch,
  path: string,
): number {
  const { router, active, experts } = config.moe;
  const density = active / experts;
  const aims = { sparse: { router: router as RouterName, density } };
  using model = new BenchModel(device, { config, aims, optimizer: false, batch });
  model.use("sparse");
  writeSafetensors(path, modelEntries(savedTensors(model.languageModel), config));
  return 1 - density;
}
