/** One run's model, optimizer and data, advanced step by step. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { FirstNotFinite } from "../autograd/finite.ts";
import { type LambdaState, targetSparsity } from "../autograd/lambda_rule.ts";
import { lambdaExcess, setLambdaExcess } from "../autograd/step_state.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { StepReadout } from "../autograd/step_readout.ts";
import { Tape } from "../autograd/tape.ts";
import type { RouterModule } from "../config/load_router.ts";
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
import { CausalLoss } from "./causal_loss.ts";
import { FlipMeter, type RouteBatch } from "./flip_meter.ts";
import { KeptRowsPlan, layerRows } from "./kept_rows_plan.ts";
import { memoryLimit } from "./memory_limit.ts";
import { firstUnsound, resultDivergence, stepDivergence } from "./divergence.ts";
import type { DivergenceError } from "./divergence_error.ts";
import type { FlipMetrics, StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import { buildModel, type BuiltModel } from "../model/build_model.ts";
import { configuredLambda } from "../model/configured_lambda.ts";
import { savedTensors } from "../model/saved_tensors.ts";
import type { StepProfile } from "./profile.ts";
import type { Sample } from "../run/samples.ts";
import { createSampler, type Sampler, type SamplerPosition, seek } from "./sampler.ts";
import { sampleText } from "./sample_text.ts";
import { routedRows } from "./routed_rows.ts";
import { learningRate } from "./schedule.ts";
import { advanceStage, stageAt } from "./stage.ts";
import { stepMetrics } from "./step_metrics.ts";
import { Validation } from "./validation.ts";
import { routedSizes } from "../moe/layer_sizes.ts";

/** What a {@linkcode Trainer} works with. */
export interface TrainerOptions {
  /** The device that the model is on. */
  readonly device: Device;
  /** The tokenized text. */
  readonly corpus: Corpus;
  /** The text's tokenizer. */
  readonly tokenizer: Tokenizer;
  /** The router, if the configuration names a file. */
  readonly router?: RouterModule | undefined;
  /** Times the phases of each step; default: nothing does. */
  readonly profile?: StepProfile | null;
}

/** First draw of a validation: the upper half of 32 bits, beyond the draws of any step. */
const VALIDATION_DRAWS = 2 ** 31;

/** First draw of routers after a step, beyond those of its micro-batches. */
const AFTER_STEP_DRAWS = 2 ** 30;

/** A model in training. Each {@linkcode Trainer.step} is one optimizer step, all micro-batches. */
export class Trainer implements Disposable {
  readonly config: TrainConfig;
  /** SHA-256 of the text's documents. */
  readonly textHash: string;
  readonly optimizer: AdamW;
  readonly sampler: Sampler;
  readonly #device: Device;
  readonly #tokenizer: Tokenizer;
  readonly #validation: Validation | null;
  readonly #flips: FlipMeter | null;
  readonly #profile: StepProfile | null;
  readonly #built: BuiltModel;
  readonly #kept: KeptRowsPlan;
  readonly #microBatches: number;
  #peak = 0;
  #stage: StageState;
  #step = 0;
  #lambda: number;
  /** The current step's losses, apart by causality of the routing. */
  #split = new CausalLoss();

  constructor(config: TrainConfig, options: TrainerOptions) {
    const { device, corpus, tokenizer, profile = null, router } = options;
    const { optimizer } = config;
    this.config = config;
    this.textHash = corpus.contentHash;
    this.#device = device;
    this.#tokenizer = tokenizer;
    this.#profile = profile;
    this.sampler = createSampler(config, corpus);
    this.#microBatches = config.data.batch / config.data.micro_batch;
    this.#validation = config.validation.every === 0
      ? null
      : new Validation(config, corpus.validation, tokenizer);
    this.#flips = config.flips.every > 0 && routerOf(config.moe).routed
      ? new FlipMeter(config, corpus.validation)
      : null;
    const limit = memoryLimit(config, device.info().memoryBytes);
    this.#kept = new KeptRowsPlan(device, config, limit);
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

  /** The run's current stage. */
  get stage(): StageState {
    return this.#stage;
  }

  /** λ for the next step. */
  get lambda(): number {
    return this.#lambda;
  }

  /** What λ's proportional rule keeps from the last step. */
  get lambdaExcess(): number {
    return lambdaExcess(this.#built.state);
  }

  /** Peak device memory so far, in bytes. */
  get peakBytes(): number {
    return Math.max(this.#peak, this.#device.statistics().peak);
  }

  /** The model's parameters. */
  parameters(): Iterable<Parameter> {
    return this.#built.model.parameters();
  }

  /** The tensors that a checkpoint keeps of the model: parameters, then buffers. */
  savedTensors(): Iterable<Parameter> {
    return savedTensors(this.#built.model);
  }

  /** Takes up where a trainer of the same configuration left off; weights are loaded separately. */
  restore(
    step: number,
    { lambda, excess }: LambdaState,
    stage: StageState,
    sampler: unknown,
  ): void {
    seek(this.sampler, sampler);
    this.#step = step;
    this.#lambda = lambda;
    this.#stage = stage;
    this.#built.state.setLambda(lambda);
    setLambdaExcess(this.#built.state, excess);
    if (stage.stage === "sparse") {
      this.#kept.expect(this.#kept.layers.map(() => layerRows(this.config).sparse));
    }
    this.optimizer.resumeAt(step);
  }

  /**
   * Takes one optimizer step.
   *
   * @returns Its metrics.
   * @throws {DivergenceError} If the loss or the gradient is not finite; names the first such
   * tensor.
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
    const counts = readout.layers.map((layer) => [...layer.counts]);
    this.#drawing(AFTER_STEP_DRAWS, () => this.#built.afterStep(counts));
    const metrics = this.#advance(step, lr, ms, readout);
    const rows = routedRows(config, readout).map((count) => count / this.#microBatches);
    if (this.#kept.follow(rows)) this.#device.trim();
    return metrics;
  }

  /** Repeats a failed step's micro-batches, checking every tensor on the way. */
  #divergence(what: string, step: number, place: SamplerPosition): DivergenceError {
    const observer = new FirstNotFinite();
    // The regularisation's gradient depends on λ, which the step has updated since.
    this.#built.state.setLambda(this.#lambda);
    seek(this.sampler, place);
    this.#accumulate(observer);
    return stepDivergence(what, step, observer, this.parameters());
  }

  /**
   * Checks that weights and moments are finite, before they are saved.
   *
   * @throws {DivergenceError} If one is not finite; names it.
   */
  checkWeights(): void {
    if (firstUnsound(this.optimizer) !== null) {
      throw resultDivergence("a weight", this.#step, this.optimizer);
    }
  }

  /** Runs a step's micro-batches forward and backward, accumulating their gradients. */
  #accumulate(observer: OperationObserver | null = null): void {
    this.#drawing(0, () => this.#runMicroBatches(observer));
  }

  /**
   * Runs something with the generator placed by the step: what routers draw depends on seed and step
   * alone, so a resumed run draws the same, and so does a repeated step.
   */
  #drawing<T>(draws: number, run: () => T): T {
    const generator = { seed: BigInt(this.config.seed), step: this.#step + 1, draws };
    return memoryOf(this.#device).drawingFrom(generator, run);
  }

  #runMicroBatches(observer: OperationObserver | null): void {
    const { model, state } = this.#built;
    const scale = 1 / this.#microBatches;
    const causalFrom = routerOf(this.config.moe).causalFrom(this.config.data.sequence);
    this.#split = new CausalLoss();
    for (let i = 0; i < this.#microBatches; i++) {
      this.#profile?.enter("data");
      const batch = this.sampler.next(this.config.data.micro_batch);
      using tape = Tape.open(memoryOf(this.#device), observer);
      const tokens = this.#device.tokens(batch.tokens);
      const targets = this.#device.tokens(batch.targets);
      this.#profile?.enter("forward");
      const { loss, tokenLoss } = model.loss(tokens, targets, batch.sequence, { step: this.#step });
      state.addLoss(loss, scale);
      // Waits for the device, so only where there is something to tell apart.
      if (causalFrom > 0) {
        this.#split.add(download(unwrapped(tokenLoss)), batch.sequence, causalFrom);
      }
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
      target: targetSparsity(routedSizes(moe)),
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
      split: this.#split.means,
      stage: this.#stage,
    });
  }

  /**
   * Measures the loss on the held-out documents, always on the same batches.
   *
   * @returns The loss in nats per token, and in bits per byte of text.
   * @throws {ConfigError} If the configuration turns validation off.
   * @throws {DivergenceError} If the loss is not finite.
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
    throw resultDivergence("the validation loss", this.#step, this.optimizer);
  }

  /** Whether the flips of a step are to be measured; it is counted from 1. */
  measuresFlips(step: number): boolean {
    return this.#flips !== null && step % this.config.flips.every === 0;
  }

  /** Notes the routing before a step whose flips are measured. */
  beginFlips(): void {
    this.#flips!.begin(this.#step, this.#route);
  }

  /** Measures the flips of the step taken since. */
  endFlips(): FlipMetrics {
    return this.#flips!.end(this.#step, this.#route);
  }

  /** Runs the model as validation does. */
  readonly #route: RouteBatch = (batch, onRouting) =>
    this.#drawing(VALIDATION_DRAWS, () => {
      using _scope = this.#device.noGradient();
      const tokens = this.#device.tokens(batch.tokens);
      const targets = this.#device.tokens(batch.targets);
      this.#built.model.loss(tokens, targets, batch.sequence, { step: this.#step, onRouting });
    });

  /**
   * Generates a sample: the same text for the same weights, seed and step.
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
      throw resultDivergence("the logits of the sample", this.#step, this.optimizer, error);
    }
  }

  /** Frees the model and the optimizer. */
  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
    this.#built[Symbol.dispose]();
  }
}
