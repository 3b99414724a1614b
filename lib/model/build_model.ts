/** Builds the model of a configuration. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { StepState } from "../autograd/step_state.ts";
import type { RouterModule } from "../config/load_router.ts";
import { ConfigError } from "../errors.ts";
import { BUILD_ROUTER } from "../moe/build_router.ts";
import { type ExpertSizes, routedSizes } from "../moe/layer_sizes.ts";
import type { Router } from "../moe/router.ts";
import type { RouterBuild } from "../moe/router_row.ts";
import type { RouterName, RouterSettings } from "../moe/routers.ts";
import { LanguageModel } from "../nn/language_model.ts";
import type { KeptRows } from "../moe/kept_rows.ts";
import type { PlanCapacity } from "../moe/plan_capacity.ts";
import { computeTypeOn } from "../config/compute_type.ts";
import type { TrainConfig } from "../config/config.ts";
import type { Real } from "../tensor/dtype.ts";
import { guardedRouter } from "./guarded_router.ts";
import { routedIndex, routedLayers } from "../config/layer_widths.ts";
import { buildDense, buildFeedForward } from "./build_feed_forward.ts";

/** A model and the state that its layers share. */
export interface BuiltModel extends Disposable {
  /** The model. */
  readonly model: LanguageModel<Real>;
  /** λ and the routing statistics, one record per layer with experts. */
  readonly state: StepState;
  /**
   * Calls `afterStep` of the routers that have it.
   *
   * @param layers Per layer with experts, the tokens of each expert over the whole step.
   */
  afterStep(layers: readonly (readonly number[])[]): void;
}

/** Settings of {@linkcode buildModel}. */
export interface BuildModelOptions {
  /** Per layer with experts, the rows whose pre-activations are kept. Default all. */
  readonly kept?: readonly KeptRows[];
  /** Rows that each layer may route. Default all. */
  readonly capacity?: PlanCapacity;
  /** The loaded router, if the configuration names a file. */
  readonly router?: RouterModule | undefined;
}

/**
 * Builds the model of a configuration with random weights. They depend only on the configuration's
 * seed, not on the device's seed or earlier draws.
 *
 * A type of `auto` is chosen for the device. Under granularity G each layer has E·G experts of width `ffn`/G, with a target of k·G active.
 *
 * @param device The model's device.
 * @param config The configuration.
 * @param options Kept rows, a loaded router.
 * @returns The model; dispose of it to free its weights.
 * @throws {ConfigError} If the configuration names a router file that was not passed, that fails, or
 * whose routers do not have as many weights as their row says.
 */
export function buildModel(
  device: Device,
  config: TrainConfig,
  options: BuildModelOptions = {},
): BuiltModel {
  // The one place where a type known at run time becomes one that the compiler checks.
  return computeTypeOn(device, config) === "bf16"
    ? buildIn("bf16", device, config, options)
    : buildIn("f32", device, config, options);
}

function buildIn<R extends Real>(
  dtype: R,
  device: Device,
  config: TrainConfig,
  options: BuildModelOptions,
): BuiltModel {
  const { model: m, moe } = config;
  const build = builderOf(config, options.router);
  using unfinished = new DisposableStack();
  const state = unfinished.use(
    new StepState(device, {
      layers: routedLayers(config),
      experts: routedSizes(moe).experts,
      lambda: moe.lambda0,
    }),
  );
  const generator = { seed: BigInt(config.seed), step: 0, draws: 0 };
  const routers: Router[] = [];
  const model = memoryOf(device).drawingFrom(generator, () =>
    new LanguageModel<R>(device, {
      dtype,
      vocabulary: m.vocabulary,
      layers: m.layers,
      hidden: m.hidden,
      heads: m.heads,
      groups: m.groups,
      ...(m.head_dim === null ? {} : { headDim: m.head_dim }),
      qkvBias: m.qkv_bias,
      qkNorm: m.qk_norm,
      ...(m.clip_qkv === null ? {} : { clipQkv: m.clip_qkv }),
      tied: m.tied,
      ropeBase: m.rope_base,
      normEpsilon: m.norm_epsilon,
      deviation: m.init_std,
      feedForward: (layer) => {
        const routed = routedIndex(config, layer);
        if (routed === null) return buildDense(device, config, layer, dtype);
        return buildFeedForward(device, config, {
          ...{ build, state, layer, routed, routers },
          kept: options.kept?.[routed],
          capacity: options.capacity,
        }, dtype);
      },
    }));
  unfinished.move();
  return {
    model,
    state,
    afterStep(layers): void {
      for (const [layer, router] of routers.entries()) router.afterStep?.(layers[layer]!);
    },
    [Symbol.dispose](): void {
      model[Symbol.dispose]();
      state[Symbol.dispose]();
    },
  };
}

/** The builder of a library router, or of the router file that the configuration was made with. */
function builderOf(
  { moe }: TrainConfig,
  loaded: RouterModule | undefined,
): RouterBuild<RouterSettings & ExpertSizes> {
  if (moe.router_file === undefined) return BUILD_ROUTER[moe.router as RouterName];
  if (loaded?.path === moe.router && loaded.sha256 === moe.router_file.sha256) {
    return (device, place, settings) =>
      guardedRouter(loaded.path, () => loaded.build(device, place, settings));
  }
  throw new ConfigError(
    `Cannot build a model with the router ${moe.router}: ` +
      (loaded === undefined
        ? "its file has not been loaded"
        : `it was made with another file than ${loaded.path} is now`),
  );
}
