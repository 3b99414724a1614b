/** The training loop. @module */

import { loadRouterOf } from "../config/load_router.ts";
import { requireConfig } from "../config/require.ts";
import { setImmediate } from "node:timers/promises";
import { InitialWeights } from "../init_from/initial_weights.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import { FileError } from "../errors.ts";
import { routerOf } from "../moe/router_of.ts";
import { listCheckpoints } from "../checkpoint/folders.ts";
import type { TrainConfig } from "../config/config.ts";
import { configNotices } from "../config/notices.ts";
import { corpusNotices, domainNotices } from "./corpus_notices.ts";
import { DivergenceError } from "./divergence_error.ts";
import { CHECKPOINTS } from "../run/find_run.ts";
import { LambdaWatch } from "./lambda_watch.ts";
import { RoutingWatch } from "./routing_watch.ts";
import { machineNotices, machineOf } from "../run/machine.ts";
import { checkMemory, memoryLimit } from "./memory_limit.ts";
import type { StepMetrics, ValidationMetrics } from "../run/metrics_line.ts";
import { runCorpus } from "../model/run_corpus.ts";
import { requireConfigOf, settleComputeType } from "../run/run_directory.ts";
import type { Sample } from "../run/samples.ts";
import { startFrom } from "./start_from.ts";
import { takeTrainOptions } from "./take_train_options.ts";
import type { TrainOptions, TrainSummary } from "./train_options.ts";
import { Trainer } from "./trainer.ts";
import { checkpointContents, restoreCheckpoint } from "./trainer_checkpoint.ts";

/**
 * Trains a model to the end of its configuration, or until the signal asks to stop.
 *
 * A resumed run equals an uninterrupted one bit for bit: the checkpoint holds weights, moments, λ,
 * the stage and the position in the text, and every random draw is a function of seed and step.
 *
 * @param config The configuration.
 * @param options Device, run directory, checkpoint, callbacks.
 * @returns The final figures.
 * @throws {ConfigError} If the configuration is incomplete or not the one that the directory was
 * opened with, or the run needs more memory than it may use.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {DataError} If the text cannot be used.
 * @throws {CheckpointError} If the checkpoint, or the one to start from, does not fit the model, or
 * holds non-finite numbers.
 * @throws {DivergenceError} If the loss, the gradient or a weight is not finite; names the first
 * such tensor. The last checkpoint stays.
 * @throws {FileError} If metrics or a checkpoint cannot be written; the last checkpoint stays.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device } from "@remoe/remoe";
 * import { DivergenceError, parseConfig, RunDirectory, train } from "@remoe/remoe/train";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${folder}/text.txt`, "The quick brown fox. ".repeat(200));
 * const config = parseConfig({
 *   preset: "pico",
 *   steps: 2,
 *   model: { hidden: 16, heads: 2 },
 *   data: { paths: [folder], batch: 2, sequence: 16, cache: `${folder}/cache` },
 *   sample: { tokens: 5 },
 *   out: `${folder}/run`,
 * });
 * {
 *   using device = await Device.open({ kind: "cpu" });
 *   using directory = RunDirectory.create(config);
 *   try {
 *     const { step, last } = await train(config, { device, directory });
 *     assert(step === 2 && last!.loss > 0 && last!.sparsity < 1);
 *   } catch (error) {
 *     if (!(error instanceof DivergenceError)) throw error;
 *     console.error(`Not finite at step ${error.step}`);
 *   }
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainSummary> {
  requireConfig(config);
  const own = takeTrainOptions(options);
  requireConfigOf(own.directory, config);
  const settled = settleComputeType(own.directory, config, own.device.info());
  // The caller may change either while the run is under way.
  return await trainAsGiven(structuredClone(settled), own);
}

async function trainAsGiven(config: TrainConfig, options: TrainOptions): Promise<TrainSummary> {
  const { device, checkpoint } = options;
  const { data } = config;
  checkMemory(config, memoryLimit(config, device.info().memoryBytes), { device });
  // A resumed run has its weights, and needs those that it started from no more.
  using initial = checkpoint ? null : InitialWeights.open(config);
  const router = await loadRouterOf(config.moe);
  const tokenizer = await openTokenizer(data.tokenizer, data.tokenizer_file);
  const onEvent = corpusNotices((text) => options.onNotice?.(text));
  const corpus = await runCorpus(data, tokenizer, onEvent);
  for (const text of domainNotices(corpus, data)) options.onNotice?.(text);
  using trainer = new Trainer(config, {
    device,
    corpus,
    tokenizer,
    router,
    profile: options.profile ?? null,
  });
  if (checkpoint) restoreCheckpoint(trainer, checkpoint);
  if (initial !== null) options.onNotice?.(startFrom(trainer, initial));
  const machine = machineOf(device);
  const before = checkpoint?.state.machine;
  for (const notice of [...configNotices(config), ...machineNotices(before, machine)]) {
    options.onNotice?.(notice);
  }
  // Only now: an unusable text or checkpoint must leave the run directory as it was.
  options.directory.begin();
  return await new Run(trainer, options).go();
}

/** A run under way: the loop and what happens between its steps. */
class Run {
  readonly #lambda: LambdaWatch;
  readonly #routing: RoutingWatch;
  readonly #started = performance.now();
  #milliseconds = 0;
  #stepsHere = 0;
  #last: StepMetrics | null = null;
  #validation: ValidationMetrics | null = null;
  #sample: Sample | null = null;
  #savedAt: number | null = null;
  #savedPath: string | null = null;

  constructor(readonly trainer: Trainer, readonly options: TrainOptions) {
    this.#lambda = new LambdaWatch(trainer.config);
    this.#routing = new RoutingWatch(trainer.config);
    if (options.checkpoint) {
      this.#savedAt = options.checkpoint.state.step;
      this.#savedPath = options.checkpoint.path;
    }
  }

  async go(): Promise<TrainSummary> {
    try {
      return await this.#loop();
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** Adds to the errors that a user meets what is left of the run, and what to do. */
  #explained(error: unknown): unknown {
    const saved = this.#savedPath;
    const { message } = error as Error;
    if (error instanceof FileError) {
      const left = saved === null
        ? "there is no checkpoint yet"
        : `fix this, then resume ${saved} (intact)`;
      return new FileError(`${message}; ${left}`, error.path, { cause: error });
    }
    if (!(error instanceof DivergenceError)) return error;
    this.options.directory.metrics.flush();
    const { step, tensor } = error;
    return new DivergenceError(`${message}; ${this.#advice(step)}`, {
      step,
      tensor,
      cause: error,
    });
  }

  /** What to do about a failed step; never to resume from a checkpoint that would fail again. */
  #advice(failed: number): string {
    const { trainer, options } = this;
    const saved = this.#savedPath;
    if (saved === null) {
      const start = trainer.steps === 0
        ? "no weight has been updated yet; start again with a smaller model.init_std"
        : "start again with a lower learning rate";
      return `there is no checkpoint yet; ${start}`;
    }
    // The step after a checkpoint has the same loss and gradient at any learning rate.
    const failsAgain = this.#savedAt === trainer.steps && failed > trainer.steps;
    if (!failsAgain) {
      return `resume the last good checkpoint, ${saved}, with a lower learning rate`;
    }
    const earlier = listCheckpoints(`${options.directory.path}/${CHECKPOINTS}`)
      .find(({ step }) => step < trainer.steps);
    return `it comes from ${saved}, ` +
      (earlier === undefined
        ? "and there is no earlier checkpoint; start again with a lower learning rate"
        : `resume an earlier checkpoint, like ${earlier.path}, with a lower learning rate`);
  }

  async #loop(): Promise<TrainSummary> {
    const { trainer, options } = this;
    const { config } = trainer;
    while (trainer.steps < config.steps && !options.signal?.aborted) {
      const isMeasured = trainer.measuresFlips(trainer.steps + 1);
      if (isMeasured) trainer.beginFlips();
      this.#step();
      if (isMeasured) this.#writeFlips();
      const isLast = trainer.steps === config.steps;
      if (isDue(config.validation.every, trainer.steps) || isLast && config.validation.every > 0) {
        this.#validate();
      }
      const isSampled = isDue(config.sample.every, trainer.steps) || isLast;
      if (isSampled && routerOf(config.moe).causal) await this.#draw();
      if (isDue(config.checkpoint.every, trainer.steps)) this.#save();
      // Lets signals, timers and the progress bar run; `setTimeout(0)` would cost 2 ms.
      await setImmediate();
    }
    if (this.#savedAt !== trainer.steps) this.#save();
    return this.#summary();
  }

  #step(): void {
    const before = this.trainer.stage.stage;
    const metrics = this.trainer.step();
    this.#last = metrics;
    this.#milliseconds += metrics.ms;
    this.#stepsHere++;
    this.options.directory.metrics.write(metrics);
    this.options.onStep?.(metrics);
    if (metrics.stage !== before) {
      this.options.onNotice?.(`Stage ${metrics.stage} from step ${metrics.step}`);
    }
    const lambda = this.#lambda.observe(metrics);
    const warnings = [
      ...this.trainer.remarks,
      ...(lambda === null ? [] : [lambda]),
      ...this.#routing.observe(metrics),
    ];
    for (const text of warnings) this.options.onNotice?.(`Step ${metrics.step}: ${text}`);
  }

  #validate(): void {
    this.#validation = this.trainer.validate();
    this.options.directory.metrics.write(this.#validation);
    this.options.onValidation?.(this.#validation);
  }

  #writeFlips(): void {
    const flips = this.trainer.endFlips();
    this.options.directory.metrics.write(flips);
    this.options.onFlips?.(flips);
  }

  async #draw(): Promise<void> {
    this.#sample = await this.trainer.sample();
    this.options.directory.appendSample(this.#sample);
    this.options.onSample?.(this.#sample);
  }

  #save(): void {
    const { trainer, options } = this;
    trainer.checkWeights();
    const contents = checkpointContents(trainer, options.device);
    const { path } = options.directory.writeCheckpoint(contents, trainer.config.checkpoint.keep);
    this.#savedAt = trainer.steps;
    this.#savedPath = path;
    options.onNotice?.(`Saved ${path}`);
  }

  #summary(): TrainSummary {
    const { trainer } = this;
    const { batch, sequence } = trainer.config.data;
    const tokens = batch * sequence;
    return {
      step: trainer.steps,
      interrupted: trainer.steps < trainer.config.steps,
      tokens: trainer.steps * tokens,
      seconds: (performance.now() - this.#started) / 1000,
      tokens_per_second: this.#stepsHere === 0
        ? 0
        : this.#stepsHere * tokens / (this.#milliseconds / 1000),
      last: this.#last,
      validation: this.#validation,
      sample: this.#sample,
      stage: trainer.stage,
      checkpoint: this.#savedPath,
      peak_bytes: trainer.peakBytes,
    };
  }
}

function isDue(every: number, step: number): boolean {
  return every > 0 && step % every === 0;
}
