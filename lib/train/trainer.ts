/** One run's model, optimizer and data, advanced step by step. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { FirstNotFinite } from "../autograd/finite.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { StepReadout } from "../autograd/step_readout.ts";
import { Tape } from "../autograd/tape.ts";
import type { RouterModule } from "../config/load_router.ts";
import { BatchSampler, type SamplerState } from "../data/batches/batch_sampler.ts";
import { MixtureSampler, type MixtureState } from "../data/batches/mixture_sampler.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import { LogitsError } from "../generate/logits_error.ts";
import { routerOf, sparseFrom } from "../moe/router_of.ts";
import { AdamW } from "../optim/adamw.ts";
import type { OperationObserver } from "../tensor/recorder.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";
import type { StageState } from "../checkpoint/stage.ts";
import type { TrainConfig } from "../config/config.ts";
import { KeptRowsPlan, layerRows } from "./kept_rows_plan.ts";
import { memoryLimit } from "./memory_limit.ts";
import { firstUnsound, stepDivergence } from "./divergence.ts";
import { DivergenceError } from "./divergence_error.ts";
import type { StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import { buildModel, type BuiltModel } from "../model/build_model.ts";
import { configuredLambda } from "../model/configured_lambda.ts";
import { savedTensors } from "../model/saved_tensors.ts";
import type { StepProfile } from "./profile.ts";
import type { Sample } from "../run/samples.ts";
import { sampleText } from "./sample_text.ts";
import { learningRate } from "./schedule.ts";
import { advanceStage, stageAt } from "./stage.ts";
import { stepMetrics } from "./step_metrics.ts";
import { Validation } from "./validation.ts";

/** What a {@linkcode Trainer} works with. */
export interface TrainerOptions {
  /** Where the model lives. */
  readonly device: Device;
  /** The text as tokens. */
  readonly corpus: Corpus;
  /** The tokenizer that made them. */
  readonly tokenizer: Tokenizer;
  /** The router, where the configuration names a file. */
  readonly router?: RouterModule | undefined;
  /** Measures the parts of a step; default: nothing does. */
  readonly profile?: StepProfile | null;
}

/**
 * Where the kept rows fall below this share of the most since the last time, what the pool holds goes
 * back to the system: as a router becomes sparse, some gigabytes of a large model. It has to be mapped
 * again as far as it is used, so this is not for rows that move to and fro.
 */
const TRIM_BELOW = 0.5;

/** Counter of the first draw of a validation, beyond those of any step: the upper half of 32 bits. */
const VALIDATION_DRAWS = 2 ** 31;

/** A model in training. Each {@linkcode Trainer.step} is a whole optimizer step. */
export class Trainer implements Disposable {
  readonly config: TrainConfig;
  /** SHA-256 of the text's documents. */
  readonly textHash: string;
  readonly optimizer: AdamW;
  readonly sampler: BatchSampler | MixtureSampler;
  readonly #device: Device;
  readonly #tokenizer: Tokenizer;
  readonly #validation: Validation | null;
  readonly #profile: StepProfile | null;
  readonly #built: BuiltModel;
  readonly #kept: KeptRowsPlan;
  readonly #microBatches: number;
  #largestKept: number;
  #peak = 0;
  #stage: StageState;
  #step = 0;
  #lambda: number;

  constructor(config: TrainConfig, options: TrainerOptions) {
    const { device, corpus, tokenizer, profile = null, router } = options;
    const { optimizer } = config;
    this.config = config;
    this.textHash = corpus.contentHash;
    this.#device = device;
    this.#tokenizer = tokenizer;
    this.#profile = profile;
    this.sampler = makeSampler(config, corpus);
    this.#microBatches = config.data.batch / config.data.micro_batch;
    this.#validation = config.validation.every === 0
      ? null
      : new Validation(config, corpus.validation, tokenizer);
    const limit = memoryLimit(config, device.info().memoryBytes);
    this.#kept = new KeptRowsPlan(device, config, limit);
    this.#largestKept = this.#kept.total;
    using unfinished = new DisposableStack();
    this.#built = unfinished.use(buildModel(device, config, { kept: this.#kept.layers, router }));
    this.optimizer = new AdamW(device, this.#built.model.parameters(), {
      lr: optimizer.lr,
      beta1: optimizer.beta1,
      beta2: optimizer.beta2,
      epsilon: optimizer.epsilon,
      weightDecay: optimizer.weight_decay,
      clip: optimizer.clip,
      state: this.#built.state,
    });
    this.#stage = stageAt(0, sparseFrom(routerOf(config.moe), config.moe));
    this.#lambda = config.moe.lambda0;
    unfinished.move();
  }

  /** Optimizer steps taken. */
  get steps(): number {
    return this.#step;
  }

  /** Where the run is in its stages. */
  get stage(): StageState {
    return this.#stage;
  }

  /** λ for the next step. */
  get lambda(): number {
    return this.#lambda;
  }

  /** Most bytes of device memory in use at once so far. */
  get peakBytes(): number {
    return Math.max(this.#peak, this.#device.statistics().peak);
  }

  /** The model's parameters. */
  parameters(): Iterable<Parameter> {
    return this.#built.model.parameters();
  }

  /** What a checkpoint keeps of the model: parameters, then buffers. */
  savedTensors(): Iterable<Parameter> {
    return savedTensors(this.#built.model);
  }

  /** Goes to where another trainer of the same configuration was; weights are loaded apart. */
  restore(step: number, lambda: number, stage: StageState, sampler: unknown): void {
    this.#seek(sampler);
    this.#step = step;
    this.#lambda = lambda;
    this.#stage = stage;
    this.#built.state.setLambda(lambda);
    if (stage.stage === "sparse") {
      this.#kept.expect(this.#kept.layers.map(() => layerRows(this.config).sparse));
    }
    this.optimizer.resumeAt(step);
  }

  /** Goes to a place in the text, which the sampler checks. */
  #seek(place: unknown): void {
    if (this.sampler instanceof MixtureSampler) this.sampler.restore(place as MixtureState);
    else this.sampler.restore(place as SamplerState);
  }

  /**
   * Takes one optimizer step.
   *
   * @returns Its figures.
   * @throws {DivergenceError} If the loss or the gradient is not finite; names the first tensor.
   */
  step(): StepMetrics {
    const started = performance.now();
    const { config } = this;
    const { data, moe, schedule, optimizer } = config;
    const { state } = this.#built;
    const step = this.#step + 1;
    const lr = learningRate(step, { ...schedule, lr: optimizer.lr, steps: config.steps });
    this.#profile?.enter("data");
    this.#peak = this.peakBytes;
    this.#device.resetPeak();
    state.begin();
    const place = this.sampler.state;
    this.#accumulate();
    this.#profile?.enter("optimizer");
    const tokens = data.batch * data.sequence;
    state.updateLambda(configuredLambda(moe, { tokens, adapt: routerOf(moe).adapts(moe) }));
    this.optimizer.lr = lr;
    this.optimizer.step();
    this.#profile?.enter("readout");
    const readout = state.read();
    const ms = performance.now() - started;
    this.#profile?.endStep();
    if (readout.notFinite || !Number.isFinite(readout.loss)) {
      throw this.#divergence(Number.isFinite(readout.loss) ? "gradient" : "loss", step, place);
    }
    this.#built.afterStep(readout.layers.map(({ counts }) => [...counts]));
    const metrics = this.#advance(step, lr, ms, readout);
    this.#keepFor(readout);
    return metrics;
  }

  /** Keeps what the rows of the step just taken ask for; memory that falls free goes back. */
  #keepFor({ layers }: StepReadout): void {
    this.#kept.expect(
      layers.map(({ counts }) =>
        counts.reduce((sum, count) => sum + count, 0) / this.#microBatches
      ),
    );
    const { total } = this.#kept;
    if (total < TRIM_BELOW * this.#largestKept) this.#device.trim();
    else if (total <= this.#largestKept) return;
    this.#largestKept = total;
  }

  /** Takes a failed step's micro-batches again, and looks at every tensor on the way. */
  #divergence(what: string, step: number, place: SamplerState | MixtureState): DivergenceError {
    const observer = new FirstNotFinite();
    // The regularisation's share of the gradients as it was in the step.
    this.#built.state.setLambda(this.#lambda);
    this.#seek(place);
    this.#accumulate(observer);
    return stepDivergence(what, step, observer, this.parameters());
  }

  /**
   * Makes sure that weights and moments are worth saving.
   *
   * @throws {DivergenceError} If one is not finite; names it.
   */
  checkWeights(): void {
    if (firstUnsound(this.optimizer) !== null) throw this.#unusable("a weight");
  }

  /** Forward and backward of the next micro-batches, whose gradients add up. */
  #accumulate(observer: OperationObserver | null = null): void {
    this.#drawing(0, () => this.#runMicroBatches(observer));
  }

  /**
   * What routers draw in a step follows from seed and step alone, so that a resumed run draws the
   * same, and a step taken again, too.
   */
  #drawing<T>(draws: number, run: () => T): T {
    const generator = { seed: BigInt(this.config.seed), step: this.#step + 1, draws };
    return memoryOf(this.#device).drawingFrom(generator, run);
  }

  #runMicroBatches(observer: OperationObserver | null): void {
    const { model, state } = this.#built;
    const scale = 1 / this.#microBatches;
    for (let i = 0; i < this.#microBatches; i++) {
      this.#profile?.enter("data");
      const batch = this.sampler.next(this.config.data.micro_batch);
      using tape = Tape.open(memoryOf(this.#device), observer);
      const tokens = this.#device.tokens(batch.tokens);
      const targets = this.#device.tokens(batch.targets);
      this.#profile?.enter("forward");
      const { loss } = model.loss(tokens, targets, batch.sequence, { step: this.#step });
      state.addLoss(loss, scale);
      this.#profile?.enter("backward");
      tape.backward(loss, { scale });
    }
  }

  #advance(step: number, lr: number, ms: number, readout: StepReadout): StepMetrics {
    const { moe } = this.config;
    const lambda = this.#lambda;
    const from = sparseFrom(routerOf(moe), moe);
    this.#stage = from !== null ? stageAt(step, from) : advanceStage(this.#stage, {
      step,
      lambda,
      l1_reg: readout.l1,
      loss: readout.loss,
      sparsity: readout.sparsity,
      target: 1 - moe.active / moe.experts,
    });
    this.#step = step;
    this.#lambda = readout.lambda;
    return stepMetrics({
      config: this.config,
      step,
      lr,
      lambda,
      ms,
      memory: this.#device.statistics().peak,
      readout,
      stage: this.#stage,
    });
  }

  /**
   * Measures the loss on the held-out documents; always the same batches.
   *
   * @returns The loss in nats per token, and in bits per byte of text.
   * @throws {ConfigError} If the configuration asks for no validation.
   * @throws {DivergenceError} If it is not finite.
   */
  validate(): ValidationMetrics {
    if (this.#validation === null) {
      throw new ConfigError("Cannot validate: validation.every is 0, expected at least 1");
    }
    const validation = this.#validation;
    const metrics = this.#drawing(VALIDATION_DRAWS, () =>
      validation.run(this.#step, (batch) => {
        using _scope = this.#device.noGradient();
        const { tokenLoss } = this.#built.model.loss(
          this.#device.tokens(batch.tokens),
          this.#device.tokens(batch.targets),
          batch.sequence,
          { step: this.#step },
        );
        return download(unwrapped(tokenLoss));
      }));
    if (Number.isFinite(metrics.valid_loss)) return metrics;
    throw this.#unusable("the loss of the validation");
  }

  /** What is wrong with a model whose results are not finite: a weight, or else a result. */
  #unusable(what: string, cause?: unknown): DivergenceError {
    const tensor = firstUnsound(this.optimizer) ?? what;
    const verb = tensor.startsWith("the logits") ? "are" : "is";
    return new DivergenceError(
      `Cannot go on after step ${this.#step}: ${tensor} ${verb} not finite`,
      { step: this.#step, tensor, cause },
    );
  }

  /**
   * Draws a text; the same one for the same weights, seed and step.
   *
   * @returns The text and the step.
   * @throws {DivergenceError} If the logits are not finite.
   */
  async sample(): Promise<Sample> {
    const { sample, seed } = this.config;
    const { prompt, tokens, temperature } = sample;
    try {
      const text = await sampleText(prompt, {
        device: this.#device,
        model: this.#built.model,
        tokenizer: this.#tokenizer,
        tokens,
        temperature,
        seed,
        stream: this.#step,
      });
      return { step: this.#step, prompt, text };
    } catch (error) {
      if (!(error instanceof LogitsError)) throw error;
      throw this.#unusable("the logits of the sample", error);
    }
  }

  /** Frees the model and the optimizer. */
  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
    this.#built[Symbol.dispose]();
  }
}

/** One stream over the whole text, or a mixture where domains are weighed. */
function makeSampler(
  { data, seed }: TrainConfig,
  { train }: Corpus,
): BatchSampler | MixtureSampler {
  const { sequence, weights } = data;
  return Object.keys(weights).length === 0
    ? new BatchSampler(train.tokens, { sequence, seed })
    : new MixtureSampler(train.domains, { sequence, seed, weights });
}
