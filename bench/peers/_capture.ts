/**
 * Records a run of remoe for another implementation to be compared with: weights, gradients, gates,
 * loss and λ at some of its steps, and the tokens, loss, λ and learning rate of each.
 *
 * The run is remoe's own {@linkcode Trainer}. The gradients and gates, which it does not expose,
 * are computed by a second model from the same weights and tokens; its loss must equal the
 * trainer's bit for bit.
 *
 * @module
 */

import { type Device, memoryOf } from "../../lib/autograd/device.ts";
import type { Routing } from "../../lib/moe/routing.ts";
import type { Parameter } from "../../lib/autograd/parameter.ts";
import { BatchSampler } from "../../lib/data/batches/batch_sampler.ts";
import type { Batch } from "../../lib/data/batches/batches.ts";
import type { Corpus } from "../../lib/data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { copyInto, download } from "../../lib/tensor/transfer.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { buildModel, type BuiltModel } from "../../lib/model/build_model.ts";
import { savedTensors } from "../../lib/model/saved_tensors.ts";
import { type TensorEntry, writeSafetensors } from "../../lib/checkpoint/write_safetensors.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { batchEntries } from "./_batches.ts";

/** What {@linkcode capture} works with. */
export interface CaptureOptions {
  /** The device to train on. */
  readonly device: Device;
  /** The tokenized text. */
  readonly corpus: Corpus;
  /** The text's tokenizer. */
  readonly tokenizer: Tokenizer;
  /** The folder to write to; emptied first. */
  readonly folder: string;
  /** Optimizer steps to take. */
  readonly steps: number;
  /** Steps between captured points; the last point comes after the last step. */
  readonly every: number;
}

/** A captured point: the state before a step. */
export interface CapturedPoint {
  /** Steps taken so far. */
  readonly step: number;
  /** Folder of its tensors, within the run's. */
  readonly folder: string;
  /** MoE layers. */
  readonly layers: number;
  /** Loss of the step's tokens. */
  readonly loss: number;
  /** λ of the step. */
  readonly lambda: number;
}

/** A step of the run. */
export interface CapturedStep {
  readonly loss: number;
  readonly lambda: number;
  readonly lr: number;
  readonly sparsity: number;
  /** Norm of the full gradient before clipping. */
  readonly grad_norm: number;
}

/** The contents of `run.json`. */
export interface CapturedRun {
  readonly points: readonly CapturedPoint[];
  readonly steps: readonly CapturedStep[];
}

/**
 * Trains for some steps and records them.
 *
 * @param config The configuration.
 * @param options Device, text, folder, steps.
 * @returns The contents of `run.json`.
 */
export function capture(config: TrainConfig, options: CaptureOptions): CapturedRun {
  const { device, corpus, tokenizer, folder, steps, every } = options;
  emptyFolder(folder);
  using trainer = new Trainer(config, { device, corpus, tokenizer });
  using probe = new Probe(device, config);
  // A second sampler with the same seed yields the batches that the trainer is about to take.
  const { sequence, batch, micro_batch } = config.data;
  const sampler = new BatchSampler(corpus.train.tokens, { sequence, seed: config.seed });
  const points: CapturedPoint[] = [];
  const done: CapturedStep[] = [];
  const batches: Batch[][] = [];
  for (let step = 0; step <= steps; step++) {
    const next = Array.from({ length: batch / micro_batch }, () => sampler.next(micro_batch));
    batches.push(next);
    const point = step % every === 0 ? probe.write(trainer, next, folder) : null;
    if (point !== null) points.push(point);
    if (step === steps) break;
    const { loss, lambda, lr, sparsity, grad_norm } = trainer.step();
    if (point !== null && point.loss !== loss) {
      throw new Error(`The probe's loss at step ${step} is ${point.loss}, the trainer's ${loss}`);
    }
    done.push({ loss, lambda, lr, sparsity, grad_norm });
  }
  const run = { points, steps: done };
  writeSafetensors(`${folder}/batches.safetensors`, batchEntries(batches));
  Deno.writeTextFileSync(`${folder}/config.json`, JSON.stringify(config, null, 2));
  Deno.writeTextFileSync(`${folder}/run.json`, JSON.stringify(run));
  return run;
}

/** A model that exposes what a training step does not. */
class Probe implements Disposable {
  readonly #device: Device;
  readonly #config: TrainConfig;
  readonly #built: BuiltModel;
  /** Holds gradients in place of weights, so that they are written like weights. */
  readonly #gradients: BuiltModel;
  #gates: TensorEntry[] = [];
  #microBatch = 0;

  constructor(device: Device, config: TrainConfig) {
    this.#device = device;
    this.#config = config;
    this.#built = buildModel(device, config);
    this.#gradients = buildModel(device, config);
  }

  /** Writes a trainer's current point: what its next step will see. */
  write(trainer: Trainer, batches: readonly Batch[], folder: string): CapturedPoint {
    const { model } = this.#built;
    copyAll(savedTensors(model), trainer.savedTensors());
    // Routers draw what they draw in the trainer's next step.
    const generator = { seed: BigInt(this.#config.seed), step: trainer.steps + 1, draws: 0 };
    const loss = memoryOf(this.#device).drawingFrom(
      generator,
      () => this.#run(trainer, batches),
    );
    copyAll(this.#gradients.model.parameters(), [...model.parameters()].map(gradientOf));
    const name = `step-${String(trainer.steps).padStart(4, "0")}`;
    const path = `${folder}/${name}`;
    Deno.mkdirSync(path);
    this.#writeModel(`${path}/model.safetensors`, savedTensors(model));
    this.#writeModel(`${path}/gradients.safetensors`, this.#gradients.model.parameters());
    writeSafetensors(`${path}/gates.safetensors`, this.#gates);
    const { layers } = this.#config.model;
    return { step: trainer.steps, folder: name, layers, loss, lambda: trainer.lambda };
  }

  /** Runs a step forward and backward, as the trainer does; returns the loss. */
  #run({ lambda, steps }: Trainer, batches: readonly Batch[]): number {
    const { model, state } = this.#built;
    const share = 1 / batches.length;
    for (const parameter of model.parameters()) parameter.zeroGradient();
    this.#gates = [];
    state.setLambda(lambda);
    state.begin();
    for (const [index, batch] of batches.entries()) {
      this.#microBatch = index;
      using tape = this.#device.record();
      const tokens = this.#device.tokens(batch.tokens);
      const targets = this.#device.tokens(batch.targets);
      const { loss } = model.loss(tokens, targets, batch.sequence, {
        step: steps,
        onRouting: (layer, routing) => this.#keepGates(layer, routing),
      });
      state.addLoss(loss, share);
      tape.backward(loss, { scale: share });
    }
    return state.read().loss;
  }

  #keepGates(layer: number, { gates }: Routing): void {
    const values = download(unwrapped(gates));
    this.#gates.push({
      name: `${this.#microBatch}.${layer}`,
      dtype: "F32",
      shape: gates.shape,
      read: () => new Uint8Array(values.buffer),
    });
  }

  #writeModel(path: string, parameters: Iterable<Parameter>): void {
    writeSafetensors(path, modelEntries(parameters, this.#config));
  }

  [Symbol.dispose](): void {
    this.#built[Symbol.dispose]();
    this.#gradients[Symbol.dispose]();
  }
}

type Tensors = Iterable<Parameter | Parameter["gradient"]>;

function copyAll(targets: Tensors, sources: Tensors): void {
  const list = [...sources];
  for (const [i, target] of [...targets].entries()) {
    copyInto(unwrapped(target), unwrapped(list[i]!));
  }
}

function gradientOf({ gradient }: Parameter): Parameter["gradient"] {
  return gradient;
}

function emptyFolder(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.mkdirSync(path, { recursive: true });
}
