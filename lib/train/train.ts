/** The training loop. @module */

import type { CheckpointState } from "../checkpoint/state.ts";
import { loadRouterOf } from "../config/load_router.ts";
import { requireConfig } from "../config/require.ts";
import { setImmediate } from "node:timers/promises";
import { DataError } from "../data/errors.ts";
import { bundledText } from "../data/text/bundled_text.ts";
import { prepareCorpus } from "../data/corpus/corpus.ts";
import { openTokenizer } from "../data/tokenizer/open_tokenizer.ts";
import { textFiles } from "../data/text/text_files.ts";
import { CheckpointError, FileError } from "../errors.ts";
import { routerOf } from "../moe/router_of.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
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
import { checkWrittenUnder, configHash } from "../checkpoint/resume.ts";
import { requireConfigOf } from "../run/run_directory.ts";
import type { Sample } from "../run/samples.ts";
import { takeTrainOptions } from "./take_train_options.ts";
import type { TrainOptions, TrainSummary } from "./train_options.ts";
import { Trainer } from "./trainer.ts";
import { versions } from "../run/versions.ts";
import {
  loadModel,
  loadTensors,
  modelEntries,
  tensorEntries,
} from "../checkpoint/weight_layout.ts";

/**
 * Trains a model to the end of its configuration, or until the signal asks to stop.
 *
 * A resumed run is the straight run bit for bit: the checkpoint keeps weights, moments, λ, the
 * stage and the place in the text, and every random draw is a function of seed and step.
 *
 * @param config The configuration.
 * @param options Device, run directory, checkpoint, callbacks.
 * @returns The final figures.
 * @throws {ConfigError} If the configuration is not whole or not the one that the directory was
 * opened with, or the run needs more memory than it may take.
 * @throws {TypeError} If an option is of another kind than it should be.
 * @throws {DataError} If the text cannot be used.
 * @throws {CheckpointError} If the checkpoint does not fit the model, or holds numbers that are not
 * finite.
 * @throws {DivergenceError} If the loss, the gradient or a weight is not finite; names the first such
 * tensor. The last checkpoint stays.
 * @throws {FileError} If figures or a checkpoint cannot be written; the last checkpoint stays.
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
  // The caller may change either while the run is under way.
  return await trainAsGiven(structuredClone(config), own);
}

async function trainAsGiven(config: TrainConfig, options: TrainOptions): Promise<TrainSummary> {
  const { device, checkpoint } = options;
  const { data } = config;
  checkMemory(config, memoryLimit(config, device.info().memoryBytes), { device });
  const router = await loadRouterOf(config.moe);
  const tokenizer = await openTokenizer(data.tokenizer);
  const source = data.paths.length > 0 ? textFiles(data.paths) : bundledText();
  const corpus = await prepareCorpus(source, tokenizer, {
    ...(data.validation_paths.length > 0
      ? { validation: textFiles(data.validation_paths) }
      : { validationFraction: data.validation_fraction }),
    ...(data.cache === null ? {} : { cacheFolder: data.cache }),
    onEvent: corpusNotices((text) => options.onNotice?.(text)),
  });
  for (const text of domainNotices(corpus, data)) options.onNotice?.(text);
  using trainer = new Trainer(config, {
    device,
    corpus,
    tokenizer,
    router,
    profile: options.profile ?? null,
  });
  if (checkpoint) restore(trainer, checkpoint);
  const machine = machineOf(device);
  const before = checkpoint?.state.machine;
  for (const notice of [...configNotices(config), ...machineNotices(before, machine)]) {
    options.onNotice?.(notice);
  }
  // Not before: a text or a checkpoint that cannot be used leaves the run directory as it was.
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

  /** Adds what is left of the run, and what to do, to the errors that a user meets. */
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

  /** What to do about a step that failed; a checkpoint that would fail again is no advice. */
  #advice(failed: number): string {
    const { trainer, options } = this;
    const saved = this.#savedPath;
    if (saved === null) {
      const start = trainer.steps === 0
        ? "start again with a smaller model.init_std, no weight has been updated yet"
        : "start again with a lower learning rate";
      return `${start}, there is no checkpoint yet`;
    }
    // The next step depends on the checkpoint alone, whatever the learning rate is.
    const failsAgain = this.#savedAt === trainer.steps && failed > trainer.steps;
    if (!failsAgain) {
      return `resume the last good checkpoint, ${saved}, with a lower learning rate`;
    }
    const earlier = listCheckpoints(`${options.directory.path}/${CHECKPOINTS}`)
      .find(({ step }) => step < trainer.steps);
    return `it comes from ${saved}, ` +
      (earlier === undefined
        ? "before which there is none; start again with a lower learning rate"
        : `resume an earlier checkpoint, like ${earlier.path}, with a lower learning rate`);
  }

  async #loop(): Promise<TrainSummary> {
    const { trainer, options } = this;
    const { config } = trainer;
    while (trainer.steps < config.steps && !options.signal?.aborted) {
      this.#step();
      const isLast = trainer.steps === config.steps;
      if (isDue(config.validation.every, trainer.steps) || isLast && config.validation.every > 0) {
        this.#validate();
      }
      const isSampled = isDue(config.sample.every, trainer.steps) || isLast;
      if (isSampled && routerOf(config.moe).causal) await this.#draw();
      if (isDue(config.checkpoint.every, trainer.steps)) this.#save();
      // Lets signals, timers and the progress bar run; setTimeout(0) would cost 2 ms.
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
    const warnings = [...(lambda === null ? [] : [lambda]), ...this.#routing.observe(metrics)];
    for (const text of warnings) this.options.onNotice?.(`Step ${metrics.step}: ${text}`);
  }

  #validate(): void {
    this.#validation = this.trainer.validate();
    this.options.directory.metrics.write(this.#validation);
    this.options.onValidation?.(this.#validation);
  }

  async #draw(): Promise<void> {
    this.#sample = await this.trainer.sample();
    this.options.directory.appendSample(this.#sample);
    this.options.onSample?.(this.#sample);
  }

  #save(): void {
    const { trainer, options } = this;
    const { config } = trainer;
    trainer.checkWeights();
    const { path } = options.directory.writeCheckpoint({
      state: {
        format: 1,
        step: trainer.steps,
        tokens: trainer.steps * config.data.batch * config.data.sequence,
        lambda: trainer.lambda,
        stage: trainer.stage,
        sampler: trainer.sampler.state,
        text: trainer.textHash,
        seed: config.seed,
        config_hash: configHash(config),
        ...routerRecord(config.moe),
        machine: machineOf(options.device),
        versions: versions(),
      },
      model: modelEntries(trainer.savedTensors(), config),
      optimizer: tensorEntries(namedMoments(trainer)),
    }, config.checkpoint.keep);
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

/** Which file a router came from, where it is none of the library's. */
function routerRecord(
  { router, router_file }: TrainConfig["moe"],
): Pick<CheckpointState, "router"> {
  return router_file === undefined ? {} : { router: { path: router, sha256: router_file.sha256 } };
}

function isDue(every: number, step: number): boolean {
  return every > 0 && step % every === 0;
}

function* namedMoments(
  trainer: Trainer,
): Generator<{ name: string; tensor: DeviceTensor<"f32"> }> {
  for (const { parameter, first, second } of trainer.optimizer.moments()) {
    yield { name: `${parameter.name}.exp_avg`, tensor: unwrapped(first) };
    yield { name: `${parameter.name}.exp_avg_sq`, tensor: unwrapped(second) };
  }
}

function restore(trainer: Trainer, checkpoint: Checkpoint): void {
  const { step, lambda, stage, sampler, text = trainer.textHash } = checkpoint.state;
  checkWrittenUnder("Cannot resume", checkpoint, trainer.config, "the one given");
  if (step > trainer.config.steps) {
    throw new CheckpointError(
      `Cannot resume ${checkpoint.path} to step ${trainer.config.steps}: it is already at step ${step}`,
    );
  }
  if (text !== trainer.textHash) {
    throw new DataError(
      `Cannot resume ${checkpoint.path} with another text: its documents have changed since; put ` +
        `them back as they were, or start a new run`,
    );
  }
  loadModel(trainer.savedTensors(), trainer.config, checkpoint.model);
  loadTensors(namedMoments(trainer), checkpoint.optimizer);
  trainer.restore(step, lambda, stage, sampler);
}
