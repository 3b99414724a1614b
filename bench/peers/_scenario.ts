/**
 * What both sides of the speed comparison start from: a configuration, weights in the sparse stage,
 * tokens and a prompt.
 *
 * @module
 */

import { openDevice } from "../../cli/shared/open_device.ts";
import { BatchSampler } from "../../lib/data/batches/batch_sampler.ts";
import { bundledText } from "../../lib/data/text/bundled_text.ts";
import { prepareCorpus } from "../../lib/data/corpus/corpus.ts";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import type { Corpus } from "../../lib/data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import type { ConfigLayer, TrainConfig } from "../../lib/config/config.ts";
import { parseConfig } from "../../lib/config/parse_config.ts";
import { writeSafetensors } from "../../lib/checkpoint/write_safetensors.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { batchEntries } from "./_batches.ts";
import { WORK } from "./_python.ts";
import { writeSparseStart } from "./_sparse_start.ts";

/** What to time. */
export type Mode = "train" | "forward" | "generate";

/** A model size to compare. */
export interface Size {
  /** Its configuration. */
  readonly config: ConfigLayer;
  /** Optimizer steps that bring remoe to the sparse stage; null: the weights are random. */
  readonly trainedSteps: number | null;
  /** What to time by default. */
  readonly modes: readonly Mode[];
  /** Whether all contenders fit in memory at once. */
  readonly resident: boolean;
  /** Default number of blocks per contender, and of steps or texts per block. */
  readonly rounds: number;
  readonly block: number;
}

/**
 * Timed steps hardly move the weights, so that routing, and with it the work per step, stays the
 * same. The cost of a step does not depend on the learning rate.
 */
const STILL = { lr: 1e-12, weight_decay: 0 };

/** The sizes by name. */
export const SIZES: Readonly<Record<string, Size>> = {
  pico: {
    config: { preset: "pico" },
    trainedSteps: 120,
    modes: ["train", "forward", "generate"],
    resident: true,
    rounds: 8,
    block: 8,
  },
  nano: {
    config: { preset: "nano" },
    trainedSteps: 150,
    modes: ["train", "forward", "generate"],
    resident: true,
    rounds: 8,
    block: 5,
  },
  "182m": {
    config: { preset: "182m", data: { batch: 4, micro_batch: 2 } },
    trainedSteps: null,
    modes: ["train", "forward"],
    resident: false,
    rounds: 3,
    block: 2,
  },
};

/** Steps whose tokens are written; PyTorch starts over after the last. */
export const BATCHES = 128;

const PROMPT = "The people of the United States ";

/** The contents of `scenario.json`: everything but tensors and configuration. */
export interface ScenarioState {
  /** λ of the first step. */
  readonly lambda: number;
  /** Share of (token, expert) pairs closed with these weights. */
  readonly sparsity: number;
  /** Text to continue, and its tokens. */
  readonly text: string;
  readonly prompt: readonly number[];
  /** Tokens to draw. */
  readonly drawn: number;
}

/** A scenario, and the folder that contenders read it from. */
export interface Scenario {
  readonly folder: string;
  readonly config: TrainConfig;
  readonly state: ScenarioState;
}

/** Opens the text that a configuration trains on. */
export async function openText(
  config: TrainConfig,
): Promise<{ corpus: Corpus; tokenizer: Tokenizer }> {
  const tokenizer = await openTokenizer(config.data.tokenizer);
  const corpus = await prepareCorpus(await bundledText(), tokenizer, {
    validationFraction: config.data.validation_fraction,
  });
  return { corpus, tokenizer };
}

/** Reads a scenario. */
export function readScenario(folder: string): Scenario {
  return {
    folder,
    config: parseConfig(JSON.parse(Deno.readTextFileSync(`${folder}/config.json`))),
    state: JSON.parse(Deno.readTextFileSync(`${folder}/scenario.json`)) as ScenarioState,
  };
}

/**
 * Makes the scenario of a size, unless it exists already.
 *
 * @param name The size.
 * @param options Threads, and a callback for progress.
 * @returns The scenario.
 */
export async function prepareScenario(
  name: string,
  options: { threads: number; say: (text: string) => void },
): Promise<Scenario> {
  const { threads, say } = options;
  const size = SIZES[name]!;
  const folder = `${WORK}/speed/${name}`;
  const preset = parseConfig(size.config);
  // Contenders say themselves what they compute in; the weights come from an fp32 run.
  const base: TrainConfig = { ...preset, model: { ...preset.model, dtype: "f32" } };
  const config: TrainConfig = { ...base, threads, optimizer: { ...base.optimizer, ...STILL } };
  if (isMadeFrom(folder, config)) return readScenario(folder);
  Deno.mkdirSync(folder, { recursive: true });
  const { corpus, tokenizer } = await openText(config);
  const { sequence, batch, micro_batch } = config.data;
  const sampler = new BatchSampler(corpus.train.tokens, { sequence, seed: config.seed });
  const steps = Array.from(
    { length: BATCHES },
    () => Array.from({ length: batch / micro_batch }, () => sampler.next(micro_batch)),
  );
  const remove = ["batches.safetensors", "model.safetensors", "scenario.json"];
  remove.forEach((file) => removeIfThere(`${folder}/${file}`));
  writeSafetensors(`${folder}/batches.safetensors`, batchEntries(steps));
  writeJson(`${folder}/config.json`, config);
  let lambda = config.moe.lambda0;
  let sparsity = NaN;
  if (size.trainedSteps === null) {
    say(`Making weights of ${name} in the sparse stage`);
    using device = await openDevice("cpu", { threads, seed: config.seed });
    const path = `${folder}/model.safetensors`;
    sparsity = writeSparseStart(device, config, steps[0]![0]!, path);
  } else {
    say(`Training ${name} for ${size.trainedSteps} steps, into the sparse stage`);
    using device = await openDevice("cpu", { threads, seed: config.seed });
    using trainer = new Trainer(base, { device, corpus, tokenizer });
    while (trainer.steps < size.trainedSteps) sparsity = trainer.step().sparsity;
    writeSafetensors(`${folder}/model.safetensors`, modelEntries(trainer.savedTensors(), config));
    lambda = trainer.lambda;
  }
  const prompt = [tokenizer.endOfDocument, ...tokenizer.encode(PROMPT)];
  const state: ScenarioState = { lambda, sparsity, text: PROMPT, prompt, drawn: 200 };
  // Written last: a scenario without it is incomplete.
  writeJson(`${folder}/scenario.json`, state);
  return { folder, config, state };
}

/** Whether a folder holds the complete scenario of a configuration. */
function isMadeFrom(folder: string, config: TrainConfig): boolean {
  try {
    Deno.statSync(`${folder}/scenario.json`);
    const made = parseConfig(JSON.parse(Deno.readTextFileSync(`${folder}/config.json`)));
    return JSON.stringify(made) === JSON.stringify(parseConfig(config));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function writeJson(path: string, value: unknown): void {
  Deno.writeTextFileSync(path, JSON.stringify(value, null, 2));
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
