/** Small runs to start others from. @module */

import { Device } from "../../lib/autograd/device.ts";
import {
  type ConfigLayer,
  openModel,
  parseConfig,
  RunDirectory,
  train,
  type TrainConfig,
} from "../../lib/train/mod.ts";
import { read } from "../../mod.ts";

/** Tokens that models are compared on: four rows of sixteen. */
const TOKENS = Array.from({ length: 64 }, (_, i) => 32 + (i * 37) % 90);

/** Sizes at which a run takes a fraction of a second. */
export function tiny(folder: string, name: string, more: ConfigLayer = {}): TrainConfig {
  Deno.writeTextFileSync(`${folder}/text.txt`, "The quick brown fox jumps over it. ".repeat(150));
  return parseConfig({
    preset: "pico",
    steps: 4,
    device: "cpu",
    threads: 1,
    out: `${folder}/${name}`,
    checkpoint: { every: 2, keep: 0 },
    validation: { every: 0 },
    schedule: { warmup: 0 },
    ...more,
    model: { layers: 2, hidden: 16, heads: 2, ffn: 24, init_std: 0.2, ...more.model },
    moe: { router: "dense", ...more.moe },
    data: {
      paths: [`${folder}/text.txt`],
      batch: 4,
      sequence: 16,
      cache: `${folder}/cache`,
      ...more.data,
    },
    sample: { tokens: 2, ...more.sample },
  });
}

/** Trains a new run; returns what it reported. */
export async function trained(config: TrainConfig): Promise<string[]> {
  using device = await Device.open({ kind: "cpu", threads: 1 });
  using directory = RunDirectory.create(config);
  const notices: string[] = [];
  await train(config, { device, directory, onNotice: (text) => notices.push(text) });
  return notices;
}

/** The logits of a run's model, at its newest checkpoint or the one given. */
export async function logitsOf(path: string): Promise<Float32Array> {
  using device = await Device.open({ kind: "cpu", threads: 1 });
  using opened = await openModel(device, path);
  using _scope = device.noGradient();
  return await read(opened.model.logits(device.tokens(TOKENS), 16));
}

/** A run whose only step changes no weight. */
export const STILL: ConfigLayer = { steps: 1, optimizer: { lr: 1e-30 } };

/** The lines that say what a run started from, of all that it reported. */
export function linesOf(notices: readonly string[]): string[] {
  return notices.filter((text) => text.startsWith("Starts from")).flatMap((text) =>
    text.split("\n")
  );
}
