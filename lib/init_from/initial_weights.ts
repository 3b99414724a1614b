/** The weights that a run starts from, where they are not random. @module */

import type { Parameter } from "../autograd/parameter.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { MODEL } from "../checkpoint/folders.ts";
import { checkWrittenUnder } from "../checkpoint/resume.ts";
import type { InitRecord } from "../checkpoint/state.ts";
import { checkFinite } from "../checkpoint/weight_layout.ts";
import type { TrainConfig } from "../config/config.ts";
import { routedIndex } from "../config/layer_widths.ts";
import { ConfigError } from "../errors.ts";
import { digestFile } from "../files.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerOf } from "../moe/router_of.ts";
import { CHECKPOINTS, CONFIG } from "../run/find_run.ts";
import { unwrapped } from "../tensor/operands.ts";
import { initialRun } from "./compatible.ts";
import { copyExperts, type ExpertFactors, groupColumns, layerOf } from "./copy_experts.ts";
import { fillWeights } from "./fill_weights.ts";
import { patterns } from "./patterns.ts";
import { planWeights, type WeightPlan } from "./plan_weights.ts";

/** A new model, as it is filled. */
export interface NewModel {
  /** Its configuration. */
  readonly config: TrainConfig;
  /** Its parameters and buffers. */
  savedTensors(): Iterable<Parameter>;
  /** Runs something with the draws of the model's initial noise. */
  drawingNoise(run: () => void): void;
  /** The sum of a token's gates per layer with experts, on average over the run's first text. */
  meanGates(): readonly number[];
}

/** An open checkpoint that a run starts from. */
export class InitialWeights implements Disposable {
  /** The checkpoint. */
  readonly checkpoint: Checkpoint;
  /** The configuration of its run. */
  readonly config: TrainConfig;

  private constructor(checkpoint: Checkpoint, config: TrainConfig) {
    this.checkpoint = checkpoint;
    this.config = config;
  }

  /**
   * Opens the checkpoint that a configuration names, and verifies every byte of it.
   *
   * @param config The configuration of the new run.
   * @returns The checkpoint; null if the run starts from random weights.
   * @throws {ConfigError} If there is no such run, or its weights do not fit.
   * @throws {CheckpointError} If it has no complete checkpoint, or that is damaged.
   */
  static open(config: TrainConfig): InitialWeights | null {
    const run = initialRun(config);
    if (run === null) return null;
    using stack = new DisposableStack();
    const checkpoint = stack.use(
      run.checkpoint === null
        ? Checkpoint.openNewest(`${run.path}/${CHECKPOINTS}`)
        : Checkpoint.open(run.checkpoint),
    );
    const source = `${run.path}/${CONFIG} holds now`;
    checkWrittenUnder("Cannot start from", checkpoint, run.config, source);
    stack.move();
    return new InitialWeights(checkpoint, run.config);
  }

  /**
   * Fills a model that has random weights.
   *
   * @param model The model.
   * @returns What was done.
   * @throws {CheckpointError} If the weights do not fit, or are not finite.
   * @throws {ConfigError} If experts are to be rescaled and a layer's gates add up to nothing.
   */
  fill(model: NewModel): InitRecord {
    const { path, model: file, state: { step } } = this.checkpoint;
    const plan = planWeights(model.savedTensors(), model.config, file);
    fillWeights(plan, file);
    const scale = this.#copy(plan, model);
    const tensors = plan.weights.map(({ parameter }) => unwrapped(parameter));
    checkFinite(tensors, [...plan.taken, ...plan.copied], file);
    return {
      from: path,
      step,
      sha256: digestFile(`${path}/${MODEL}`).sha256,
      taken: patterns(plan.taken),
      copied: patterns(plan.copied),
      new: patterns(plan.new),
      left: patterns(plan.left),
      scale,
    };
  }

  /** Whether the new model's router begins with the weights of a trained one. */
  static keepsRouter({ taken }: InitRecord): boolean {
    return taken.some((name) => /\.block_sparse_moe\.gate\b/.test(name));
  }

  /** Closes the checkpoint's files. */
  [Symbol.dispose](): void {
    this.checkpoint[Symbol.dispose]();
  }

  /** Copies dense layers into experts; returns the factor of each layer's output. */
  #copy(plan: WeightPlan, model: NewModel): number[] {
    const { init, moe } = model.config;
    const layers = copiedLayers(plan);
    if (layers.length === 0) return [];
    if (moe.granularity > 1) groupNewRouters(plan, moe.granularity);
    const copy = (factors: ExpertFactors): void =>
      model.drawingNoise(() =>
        copyExperts(plan, this.checkpoint.model, { noise: init.noise, ...factors })
      );
    const shared = init.rescale ? 1 / moe.active : 1;
    let routed = layers.map(() => 1);
    const byLayer = (layer: number): number => routed[layers.indexOf(layer)]!;
    copy({ shared, routed: byLayer });
    if (!init.rescale || routerOf(moe).merges) return routed;
    // Twice, since gates depend on what the layers before put out.
    for (let round = 0; round < 2; round++) {
      const factors = routedFactors(layers, model);
      if (factors.join() === routed.join()) break;
      routed = factors;
      copy({ shared, routed: byLayer });
    }
    return routed;
  }
}

/** The factor that gives a layer's routed experts their share of the dense layer's output. */
function routedFactors(layers: readonly number[], model: NewModel): number[] {
  const { moe } = model.config;
  const means = model.meanGates();
  const share = routedSizes(moe).active / (moe.active * moe.granularity);
  return layers.map((layer) => {
    const copies = means[routedIndex(model.config, layer)!]! / moe.granularity;
    const factor = share / copies;
    if (Number.isFinite(factor) && factor > 0) return Number(factor.toPrecision(3));
    throw new ConfigError(
      `Cannot rescale the experts of layer ${layer}: its gates add up to ${copies} on average; ` +
        `give init.rescale=false, or another router_std`,
    );
  });
}

function copiedLayers({ weights }: WeightPlan): number[] {
  const layers = weights.flatMap(({ origin }) =>
    origin.kind === "copied" ? [layerOf(origin.dense)] : []
  );
  return [...new Set(layers)];
}

/** Lets the slices of each copy be chosen together. */
function groupNewRouters({ weights }: WeightPlan, granularity: number): void {
  for (const { parameter, origin } of weights) {
    const isRouter = parameter.name.endsWith(".block_sparse_moe.gate.weight");
    if (origin.kind === "new" && isRouter) groupColumns(unwrapped(parameter), granularity);
  }
}
