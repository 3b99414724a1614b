/** Decides how much of a model fits in memory. @module */

import type { Device } from "../../lib/autograd/device.ts";
import { ConfigError } from "../../lib/errors.ts";
import {
  countParameters,
  estimateMemory,
  memoryLimit,
  parseConfig,
  type PresetName,
  type TrainConfig,
} from "../../lib/train/mod.ts";

/** What to measure: a model, cut down to as many of its layers as memory holds. */
export interface Stretch {
  readonly preset: PresetName;
  /** Sequences per micro-batch. */
  readonly sequences: number;
  /** Most layers to measure. */
  readonly mostLayers: number;
  /** Bytes of memory to stay within. */
  readonly limit: number;
}

/** Bytes for what a forward pass holds besides the weights. */
const FORWARD_ROOM = 2 ** 30;

/** Share of the free memory to use; other processes may need some. */
const FREE_SHARE = 0.9;

/**
 * Returns the memory that a bench may use.
 *
 * @param deviceBytes The device's memory.
 * @param isHost Whether that is the machine's main memory, which other processes use as well.
 * @returns Bytes.
 */
export function freeMemory(deviceBytes: number, isHost: boolean): number {
  const limit = memoryLimit(parseConfig({}), deviceBytes);
  return isHost ? Math.min(limit, FREE_SHARE * Deno.systemMemoryInfo().available) : limit;
}

/**
 * Returns a training configuration with as many layers as fit in stage I. All pre-activations are
 * kept, so that the stages differ in nothing else.
 *
 * @param stretch The model and the memory.
 * @param device What will train it.
 * @returns The configuration.
 * @throws {ConfigError} If not even one layer fits.
 */
export function trainingConfig(stretch: Stretch, device: Device): TrainConfig {
  return mostLayers(stretch, (config) => estimateMemory(config, { device }).dense.total);
}

/**
 * Returns a configuration for the forward pass, which needs little more than the weights.
 *
 * @param stretch The model and the memory.
 * @returns The configuration.
 * @throws {ConfigError} If not even one layer fits.
 */
export function forwardConfig(stretch: Stretch): TrainConfig {
  return mostLayers(
    stretch,
    ({ model, moe }) => 4 * countParameters(model, moe).total + FORWARD_ROOM,
  );
}

/** Shrinks the vocabulary with the layers, so that the output head keeps its share of the work. */
function mostLayers(stretch: Stretch, bytesOf: (config: TrainConfig) => number): TrainConfig {
  const { preset, sequences, limit } = stretch;
  const { model: whole } = parseConfig({ preset });
  for (let layers = Math.min(whole.layers, stretch.mostLayers); layers >= 1; layers--) {
    const data = { batch: sequences, micro_batch: sequences };
    const parsed = parseConfig({ preset, model: { layers }, data });
    const vocabulary = Math.max(1, Math.round(whole.vocabulary * layers / whole.layers));
    // Not through parseConfig, which requires room for the tokenizer's entire vocabulary.
    const config = { ...parsed, model: { ...parsed.model, vocabulary } };
    if (bytesOf(config) <= limit) return config;
  }
  throw new ConfigError(
    `Cannot measure ${preset} with ${(limit / 2 ** 30).toFixed(1)} GiB of memory: a single layer ` +
      "needs more; use fewer --sequences, or leave the model out",
  );
}
