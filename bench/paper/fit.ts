/** How much of a model fits in memory. @module */

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

/** What is measured: all of a model, or as many of its layers as memory holds. */
export interface Stretch {
  readonly preset: PresetName;
  /** Sequences of a micro-batch. */
  readonly sequences: number;
  /** At most so many layers. */
  readonly mostLayers: number;
  /** Bytes of memory. */
  readonly limit: number;
}

/** Room for what a forward pass holds beside the weights. */
const FORWARD_ROOM = 2 ** 30;

/** Share of the memory that is free now; other processes may want some. */
const FREE_SHARE = 0.9;

/**
 * Gives the memory that a bench may take.
 *
 * @param deviceBytes The device's memory.
 * @param isHost Whether that is the machine's own, which others use as well.
 * @returns Bytes.
 */
export function freeMemory(deviceBytes: number, isHost: boolean): number {
  const limit = memoryLimit(parseConfig({}), deviceBytes);
  return isHost ? Math.min(limit, FREE_SHARE * Deno.systemMemoryInfo().available) : limit;
}

/**
 * Gives the configuration of training with as many layers as fit in stage I, whose pre-activations
 * are all kept, so that stages differ in nothing else.
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
 * The same for the forward pass, which needs the weights alone.
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

/** The vocabulary shrinks with the layers, so that the output head keeps its share of the work. */
function mostLayers(stretch: Stretch, bytesOf: (config: TrainConfig) => number): TrainConfig {
  const { preset, sequences, limit } = stretch;
  const { model: whole } = parseConfig({ preset });
  for (let layers = Math.min(whole.layers, stretch.mostLayers); layers >= 1; layers--) {
    const data = { batch: sequences, micro_batch: sequences };
    const parsed = parseConfig({ preset, model: { layers }, data });
    const vocabulary = Math.max(1, Math.round(whole.vocabulary * layers / whole.layers));
    // Not through parseConfig, which wants room for the tokenizer's whole vocabulary.
    const config = { ...parsed, model: { ...parsed.model, vocabulary } };
    if (bytesOf(config) <= limit) return config;
  }
  throw new ConfigError(
    `Cannot measure ${preset} with ${
      (limit / 2 ** 30).toFixed(1)
    } GiB of memory: one layer needs ` +
      "more; take fewer --sequences, or leave it out",
  );
}
