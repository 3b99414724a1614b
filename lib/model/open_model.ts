/** Opens trained models. @module */

import { requireOneOf, requireOptions } from "../arguments.ts";
import type { Device } from "../autograd/device.ts";
import { loadRouterOf } from "../config/load_router.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkWrittenUnder } from "../checkpoint/resume.ts";
import type { TrainConfig } from "../config/config.ts";
import { buildModel } from "./build_model.ts";
import { savedTensors } from "./saved_tensors.ts";
import { FLOATS, type Real } from "../tensor/dtype.ts";
import { CHECKPOINTS, CONFIG, findRun, type FoundRun } from "../run/find_run.ts";
import { loadModel } from "../checkpoint/weight_layout.ts";

/** Settings of {@linkcode openModel}. */
export interface OpenModelOptions {
  /** The type to compute in. Default that of the run; its checkpoints hold fp32 weights. */
  readonly dtype?: Real | undefined;
}

/** Result of {@linkcode openModel}. */
export interface OpenedModel extends Disposable {
  /** The model with its trained weights. */
  readonly model: LanguageModel<Real>;
  /** The tokenizer it was trained with. */
  readonly tokenizer: Tokenizer;
  /** The run's configuration. */
  readonly config: TrainConfig;
  /** Training steps completed at the checkpoint. */
  readonly step: number;
  /** `Corpus.contentHash` of the run's text; undefined for checkpoints of early versions. */
  readonly textHash: string | undefined;
}

/**
 * Opens the model of a run, without its optimizer.
 *
 * @param device The device to load it to.
 * @param path A run directory, for its newest checkpoint, or the directory of a checkpoint.
 * @param options The type to compute in.
 * @returns The model; dispose of it to free its weights.
 * @throws {ConfigError} If there is no run at the path.
 * @throws {CheckpointError} If there is no complete checkpoint, or it is damaged, belongs to
 * another model, or was written under another configuration than the run has now.
 * @throws {DataError} If the tokenizer cannot be loaded.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device } from "@remoe/remoe";
 * import { generate } from "@remoe/remoe/generate";
 * import { openModel } from "@remoe/remoe/train";
 *
 * async function* continueText(run: string, prompt: string): AsyncGenerator<string> {
 *   using device = await Device.open();
 *   using opened = await openModel(device, run);
 *   for await (const { text } of generate([prompt], { ...opened, device, tokens: 100 })) yield text;
 * }
 * assert(typeof continueText === "function");
 * ```
 */
export async function openModel(
  device: Device,
  path: string,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
  requireOptions("open a model", options, { dtype: true });
  const { dtype } = options;
  if (dtype !== undefined) requireOneOf("open a model", "dtype", dtype, FLOATS);
  const run = findRun(path);
  using checkpoint = run.checkpoint === null
    ? Checkpoint.openNewest(`${run.path}/${CHECKPOINTS}`)
    : Checkpoint.open(run.checkpoint);
  const { config } = run;
  checkModelOf(run, checkpoint);
  const tokenizer = await openTokenizer(config.data.tokenizer, config.data.tokenizer_file);
  const typed = dtype === undefined ? config : { ...config, model: { ...config.model, dtype } };
  const built = buildModel(device, typed, { router: await loadRouterOf(config.moe) });
  try {
    loadModel(savedTensors(built.model), config, checkpoint.model);
  } catch (error) {
    built[Symbol.dispose]();
    throw error;
  }
  return {
    model: built.model,
    tokenizer,
    config,
    step: checkpoint.state.step,
    textHash: checkpoint.state.text,
    [Symbol.dispose]: () => built[Symbol.dispose](),
  };
}

/**
 * Checks that a checkpoint's model is the one that its run describes.
 *
 * @param run The run.
 * @param checkpoint One of its checkpoints.
 * @throws {CheckpointError} If it was written under another configuration than the run has now.
 */
export function checkModelOf(
  { config, path }: FoundRun,
  checkpoint: Pick<Checkpoint, "path" | "state">,
): void {
  const source = `${path}/${CONFIG} holds now`;
  checkWrittenUnder("Cannot open the model of", checkpoint, config, source);
}
