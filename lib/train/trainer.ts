/** One run's model, optimizer and data, advanced step by step. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { FirstNotFinite } from "../autograd/finite.ts";
import { type LambdaState, targetSparsity } from "../autograd/lambda_rule.ts";
import { lambdaExcess, setLambdaExcess } from "../autograd/step_state.ts";
import type { Parameter } from "../autograd/parameter.ts";
import type { StepReadout } from "../autograd/step_readout.ts";
import type { RouterModule } from "../config/load_router.ts";
import type { Corpus } from "../data/corpus/tokenized_text.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { routerOf, sparseFrom } from "../moe/router_of.ts";
import { AdamW } from "../optim/adamw.ts";
import type { OperationObserver } from "../tensor/recorder.ts";
import { readSync } from "../tensor/transfer.ts";
import type { StageState } from "../checkpoint/stage.ts";
import type { InitRecord } from "../checkpoint/state.ts";
import { withComputeType } from "../config/compute_type.ts";
import type { TrainConfig } from "../config/config.ts";
import type { CausalLoss } from "./causal_loss.ts";
import { AFTER_STEP_DRAWS, drawingAt, NOISE_DRAWS } from "./draws.ts";
import { Evaluation, type Trained } from "./evaluation.ts";
import { KeptRowsPlan } from "./kept_rows_plan.ts";
import { layerRows } from "./layer_rows.ts";
import { logitBytes } from "./logit_bytes.ts";
import { memoryLimit } from "./memory_limit.ts";
import { runMicroBatches } from "./micro_batches.ts";
import { firstUnsound, resultDivergence, stepDivergence } from "./divergence.ts";
import type { DivergenceError } from "./divergence_error.ts";
import type { FlipMetrics, StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import { buildModel, type BuiltModel } from "../model/build_model.ts";
import { configuredLambda } from "../model/configured_lambda.ts";
import { savedTensors } from "../model/saved_tensors.ts";
import type { StepProfile } from "./profile.ts";
import type { Sample } from "../run/samples.ts";
import { createSampler, type Sampler, type SamplerPosition, seek } from "./sampler.ts";
import { PlanRoom, type RoomRule, roomRule } from "./plan_room.ts";
import { holdsTooMuch } from "./pool_use.ts";
import { RouterClaims } from "./router_claims.ts";
import { routedRows } from "./routed_rows.ts";
import { learningRate } from "./schedule.ts";
import { advanceStage, stageAt } from "./stage.ts";
import { type StepFigures, stepMetrics } from "./step_metrics.ts";
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
  /**
   * Rows per layer and micro-batch that a step has room for; one that routes more is taken again with
   * room for all. Default: by the device, see {@linkcode roomRule}.
   */
  readonly rows?: RoomRule;
  /** Times the phases of each step; default: nothing does. */
  readonly profile?: StepProfile | null;
}

/** A step as the device has taken it. */
interface Taken {
  readonly readout: StepReadout;
  readonly split: CausalLoss;
}

/** A model in training. Each {@linkcode Trainer.step} is one optimizer step, all micro-batches. */
export class Trainer implements Disposable {
  /** The configuration, with the type that the model computes in. */
  readonly config: TrainConfig;
  /** SHA-256 of the text's documents. */
  readonly textHash: string;
  readonly optimizer: AdamW;
  readonly sampler: Sampler;
  /** What the weights were taken from; null: they were random. */
  init: InitRecord | null = null;
  readonly #device: Device;
  readonly #evaluation: Evaluation;
  readonly #profile: StepProfile | null;
  readonly #built: BuiltModel;
  readonly #kept: KeptRowsPlan;
  readonly #logitBytes: number;
  readonly #room: PlanRoom;
  readonly #microBatches: number;
  readonly #claims: RouterClaims;
  #remarks: readonly string[] = [];
  #peak = 0;
  #stage: StageState;
  #step = 0;
  #lambda: number;

  constructor(given: TrainConfig, options: TrainerOptions) {
    const { device, corpus, tokenizer, profile = null, router } = options;
    const info = device.info();
    const { rows = roomRule(info.backend) } = options;
    const config = withComputeType(given, info);
    const { optimizer } = config;
    this.config = config;
    this.textHash = corpus.contentHash;
    this.#device = device;
    this.#profile = profile;
    this.#claims = new RouterClaims(config);
    this.sampler = createSampler(config, corpus);
    this.#microBatches = config.data.batch / config.data.micro_batch;
    this.#evaluation = new Evaluation(config, { device, corpus, tokenizer });
    const limit = memoryLimit(config, info.memoryBytes);
    this.#kept = new KeptRowsPlan(device, config, limit);
    this.#logitBytes = logitBytes(device, config, limit);
    using unfinished = new DisposableStack();
    this.#room = new PlanRoom(config, rows);
    const plans = { kept: this.#kept.layers, capacity: this.#room };
    this.#built = unfinished.use(buildModel(device, config, { ...plans, router }));
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

  /** Remarks on the last step: where the router does not do what its row says. */
  get remarks(): readonly string[] {
    return this.#remarks;
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

  /** Notes what the weights were taken from, and the stage that the run begins in. */
  startFrom(record: InitRecord, stage: StageState): void {
    this.init = record;
    this.#stage = stage;
  }

  /** Runs something with the draws of the noise on initial weights. */
  drawingNoise(run: () => void): void {
    const seed = BigInt(this.config.seed);
    memoryOf(this.#device).drawingFrom({ seed, step: 0, draws: NOISE_DRAWS }, run);
  }

  /** The sum of a token's gates per layer with experts, on average over the next micro-batch. */
  meanGates(): number[] {
    const place = this.sampler.state;
    const batch = this.sampler.next(this.config.data.micro_batch);
    seek(this.sampler, place);
    const means: number[] = [];
    this.#evaluation.route(this.#trained)(batch, (layer, { gates }) => {
      const values = readSync(gates);
      means[layer] = values.reduce((sum, gate) => sum + gate, 0) / gates.shape[0];
    });
    return means;
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
   * @throws {ConfigError} If a user's router fails, or routes more rows than its row says.
   */
  step(): StepMetrics {
    const started = performance.now();
    const { config } = this;
    const { schedule, optimizer } = config;
    const step = this.#step + 1;
    const lr = learningRate(step, { ...schedule, lr: optimizer.lr, steps: config.steps });
    this.#profile?.enter("data");
    this.#peak = this.peakBytes;
    this.#device.resetPeak();
    const place = this.sampler.state;
    const { readout, split } = this.#take(lr, place);
    const ms = performance.now() - started;
    this.#profile?.endStep();
    if (readout.notFinite || !Number.isFinite(readout.loss)) {
      throw this.#divergence(Number.isFinite(readout.loss) ? "gradient" : "loss", step, place);
    }
    this.#remarks = this.#claims.check(step, readout);
    const counts = readout.layers.map((layer) => [...layer.counts]);
    const after = { seed: config.seed, steps: this.#step, draws: AFTER_STEP_DRAWS };
    drawingAt(this.#device, after, () => this.#built.afterStep(counts));
    const metrics = this.#advance({ step, lr, ms, readout, split: split.means });
    const rows = routedRows(config, readout).map((count) => count / this.#microBatches);
    this.#room.follow(rows);
    if (this.#kept.follow(rows) || holdsTooMuch(this.#device.statistics())) this.#device.trim();
    return metrics;
  }

  /** Takes a step on the device; if it routes more rows than there is room for, once more with room. */
  #take(lr: number, place: SamplerPosition): Taken {
    const taken = this.#try(lr);
    if (!taken.readout.overflow) return taken;
    // Weights, moments and λ are as they were: the kernels skip a step that overflowed.
    seek(this.sampler, place);
    this.optimizer.resumeAt(this.#step);
    this.#room.widen();
    return this.#room.whole(() => this.#try(lr));
  }

  #try(lr: number): Taken {
    const { config: { data, moe } } = this;
    const { state } = this.#built;
    state.begin();
    const split = this.#accumulate();
    this.#profile?.enter("optimizer");
    const tokens = data.batch * data.sequence;
    state.updateLambda(configuredLambda(moe, { tokens, adapt: routerOf(moe).adapts(moe) }));
    this.optimizer.lr = lr;
    this.optimizer.step();
    this.#profile?.enter("readout");
    return { readout: state.read(), split };
  }

  /** Repeats a failed step's micro-batches, checking every tensor on the way. */
  #divergence(what: string, step: number, place: SamplerPosition): DivergenceError {
    const observer = new FirstNotFinite();
    // The regularisation's gradient depends on λ, which the step has updated since.
    this.#built.state.setLambda(this.#lambda);
    seek(this.sampler, place);
    this.#room.whole(() => this.#accumulate(observer));
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

  /** Runs the next step's micro-batches forward and backward, accumulating their gradients. */
  #accumulate(observer: OperationObserver | null = null): CausalLoss {
    return runMicroBatches({
      config: this.config,
      device: this.#device,
      built: this.#built,
      sampler: this.sampler,
      steps: this.#step,
      logitBytes: this.#logitBytes,
      profile: this.#profile,
      observer,
    });
  }

  /** Moves stage and λ on by a step, and computes its metrics. */
  #advance(
    taken: Pick<StepFigures, "step" | "lr" | "ms" | "readout" | "split">,
  ): StepMetrics {
    const { step, readout } = taken;
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
      ...taken,
      config: this.config,
      lambda,
      memory: this.#device.statistics().peak,
      stage: this.#stage,
      dtype: this.#built.model.dtype,
    });
  }

  /** The model as it is now, for {@linkcode Evaluation}. */
  get #trained(): Trained {
    return { model: this.#built.model, optimizer: this.optimizer, steps: this.#step };
  }

  /** {@linkcode Evaluation.validate} of the model as it is now. */
  validate(): ValidationMetrics {
    return this.#evaluation.validate(this.#trained);
  }

  /** Whether the flips of a step are to be measured; it is counted from 1. */
  measuresFlips(step: number): boolean {
    return this.#evaluation.measuresFlips(step);
  }

  /** Notes the routing before a step whose flips are measured. */
  beginFlips(): void {
    this.#evaluation.beginFlips(this.#trained);
  }

  /** Measures the flips of the step taken since. */
  endFlips(): FlipMetrics {
    return this.#evaluation.endFlips(this.#trained);
  }

  /** {@linkcode Evaluation.sample} of the model as it is now. */
  sample(): Promise<Sample> {
    return this.#evaluation.sample(this.#trained);
  }

  /** Frees the model and the optimizer. */
  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
    this.#built[Symbol.dispose]();
  }
}
