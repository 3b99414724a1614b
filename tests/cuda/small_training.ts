/** Training of a model that the emulator steps through quickly. @module */

import type { Device } from "../../mod.ts";
import { read } from "../../mod.ts";
import { openTokenizer, prepareCorpus, textsInMemory } from "../../lib/data/mod.ts";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import { type ConfigLayer, parseConfig, PRESET_NAMES } from "../../lib/train/mod.ts";
import { Trainer, type TrainerOptions } from "../../lib/train/trainer.ts";

const TEXT = Array.from({ length: 40 }, (_, i) => `Document ${i} of some words. `.repeat(30));

const SMALL: ConfigLayer = {
  preset: PRESET_NAMES[0]!,
  model: { hidden: 32, heads: 2, groups: 1 },
  data: { batch: 2, micro_batch: 2, sequence: 32 },
  schedule: { warmup: 1 },
};

/**
 * Makes a trainer of a model that the emulator steps through quickly.
 *
 * @param device The device.
 * @param layer Settings that differ.
 * @param options Room in the plan.
 * @returns The trainer; dispose of it.
 */
export async function trainerOn(
  device: Device,
  layer: ConfigLayer,
  options: Pick<TrainerOptions, "rows"> = {},
): Promise<Trainer> {
  const config = parseConfig({
    ...SMALL,
    ...layer,
    model: { ...SMALL.model, ...layer.model },
    data: { ...SMALL.data, ...layer.data },
  });
  const tokenizer = await openTokenizer("byte");
  const corpus = await prepareCorpus(textsInMemory(TEXT), tokenizer, { cacheFolder: false });
  return new Trainer(config, { device, corpus, tokenizer, ...options });
}

/**
 * Trains such a model.
 *
 * @param device The device.
 * @param layer Settings that differ.
 * @param options Room in the plan, and the number of steps, 3 by default.
 * @returns What the steps report, the validation loss, and the weights.
 */
export async function trained(
  device: Device,
  layer: ConfigLayer,
  { steps: count = 3, ...options }: Pick<TrainerOptions, "rows"> & { readonly steps?: number } = {},
) {
  using trainer = await trainerOn(device, layer, options);
  const steps = Array.from({ length: count }, () => {
    const { loss, grad_norm, sparsity, lambda } = trainer.step();
    return { loss, grad_norm, sparsity, lambda };
  });
  const { valid_loss } = trainer.validate();
  const weights = await Promise.all([...trainer.savedTensors()].map((weight) => read(weight)));
  return { steps, valid_loss, weights };
}

/** Every router in fp32, and two in bf16: name, settings, tolerance of losses beside the CPU's. */
export const LAYERS: readonly (readonly [string, ConfigLayer, number])[] = [
  ...ROUTER_NAMES.map((router) => [router, { moe: { router } }, 1e-5] as const),
  ["relu by prices", { moe: { balance: "transport" } }, 1e-5],
  ["relu in parts, with a shared one", { moe: { granularity: 4, shared: 1 } }, 1e-5],
  ["relu in bf16", { model: { dtype: "bf16" } }, 1e-3],
  ["topk in bf16", { moe: { router: "topk" }, model: { dtype: "bf16" } }, 1e-3],
];
