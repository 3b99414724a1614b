/** What a run measures of its model between steps: held-out loss, routing flips, samples. @module */

import type { Device } from "../autograd/device.ts";
import type { TrainConfig } from "../config/config.ts";
import type { Batch } from "../data/batches/batches.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import { LogitsError } from "../generate/logits_error.ts";
import { routerOf } from "../moe/router_of.ts";
import type { RoutingObserver } from "../moe/routing_context.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";
import type { AdamW } from "../optim/adamw.ts";
import type { FlipMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import type { Sample } from "../run/samples.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";
import { resultDivergence } from "./divergence.ts";
import { drawingAt, VALIDATION_DRAWS } from "./draws.ts";
import { FlipMeter, type RouteBatch } from "./flip_meter.ts";
import { sampleText } from "./sample_text.ts";
import { Validation } from "./validation.ts";

/** The model in training, as it is after some steps. */
export interface Trained {
  readonly model: LanguageModel<Real>;
  /** Blamed if a result is not finite because a weight is not. */
  readonly optimizer: AdamW;
  /** Steps taken so far. */
  readonly steps: number;
}

/** What an {@linkcode Evaluation} works with. */
export interface EvaluationOptions {
  /** The model's device. */
  readonly device: Device;
  /** Holds the held-out text. */
  readonly corpus: Corpus;
  /** The text's tokenizer. */
  readonly tokenizer: Tokenizer;
}

/** Measures a model in training, each time on the same text, without gradients. */
export class Evaluation {
  readonly #config: TrainConfig;
  readonly #device: Device;
  readonly #tokenizer: Tokenizer;
  readonly #validation: Validation | null;
  readonly #flips: FlipMeter | null;

  /**
   * Chooses the held-out text.
   *
   * @param config The configuration.
   * @param options Device and text.
   * @throws {DataError} If the text is too short for what the configuration wants measured.
   */
  constructor(config: TrainConfig, { device, corpus, tokenizer }: EvaluationOptions) {
    this.#config = config;
    this.#device = device;
    this.#tokenizer = tokenizer;
    this.#validation = config.validation.every === 0
      ? null
      : new Validation(config, corpus.validation, tokenizer);
    this.#flips = config.flips.every > 0 && routerOf(config.moe).routed
      ? new FlipMeter(config, corpus.validation)
      : null;
  }

  /**
   * Measures the loss on the held-out documents.
   *
   * @param trained The model.
   * @returns The loss in nats per token, and in bits per byte of text.
   * @throws {ConfigError} If the configuration turns validation off.
   * @throws {DivergenceError} If the loss is not finite.
   */
  validate(trained: Trained): ValidationMetrics {
    if (this.#validation === null) {
      throw new ConfigError("Cannot validate: validation.every is 0, expected at least 1");
    }
    const validation = this.#validation;
    const { steps, optimizer } = trained;
    const metrics = this.#drawing(steps, () =>
      validation.run(steps, (batch) => {
        using _scope = this.#device.noGradient();
        return download(unwrapped(this.#loss(trained, batch).tokenLoss));
      }));
    if (Number.isFinite(metrics.valid_loss)) return metrics;
    throw resultDivergence("the validation loss", steps, optimizer);
  }

  /**
   * Tells whether the flips of a step are to be measured.
   *
   * @param step The step, counted from 1.
   * @returns Whether they are.
   */
  measuresFlips(step: number): boolean {
    return this.#flips !== null && step % this.#config.flips.every === 0;
  }

  /** Notes the routing before a step whose flips are measured. */
  beginFlips(trained: Trained): void {
    this.#flips!.begin(trained.steps, this.route(trained));
  }

  /** Measures the flips of the step taken since. */
  endFlips(trained: Trained): FlipMetrics {
    return this.#flips!.end(trained.steps, this.route(trained));
  }

  /**
   * Generates a sample: the same text for the same weights, seed and step.
   *
   * @param trained The model.
   * @returns The text and the step.
   * @throws {DivergenceError} If the logits are not finite.
   */
  async sample({ model, optimizer, steps }: Trained): Promise<Sample> {
    const { sample, seed } = this.#config;
    const { prompt, tokens, temperature } = sample;
    try {
      const text = await sampleText(prompt, {
        device: this.#device,
        model,
        tokenizer: this.#tokenizer,
        tokens,
        temperature,
        seed,
        stream: steps,
      });
      return { step: steps, prompt, text };
    } catch (error) {
      if (!(error instanceof LogitsError)) throw error;
      throw resultDivergence("the logits of the sample", steps, optimizer, error);
    }
  }

  /** Runs the model on a batch as validation does. */
  route(trained: Trained): RouteBatch {
    return (batch, onRouting) =>
      this.#drawing(trained.steps, () => {
        using _scope = this.#device.noGradient();
        this.#loss(trained, batch, onRouting);
      });
  }

  #loss(
    { model, steps }: Trained,
    batch: Batch,
    onRouting?: RoutingObserver,
  ): ReturnType<LanguageModel<Real>["loss"]> {
    return model.loss(
      this.#device.tokens(batch.tokens),
      this.#device.tokens(batch.targets),
      batch.sequence,
      { step: steps, ...(onRouting === undefined ? {} : { onRouting }) },
    );
  }

  #drawing<T>(steps: number, run: () => T): T {
    return drawingAt(
      this.#device,
      { seed: this.#config.seed, steps, draws: VALIDATION_DRAWS },
      run,
    );
  }
}
