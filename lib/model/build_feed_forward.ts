/** The second half of a configured model's block: routed experts, and those that every token uses. @module */

import { add } from "../autograd/arithmetic.ts";
import type { Device } from "../autograd/device.ts";
import type { StepState } from "../autograd/step_state.ts";
import type { TrainConfig } from "../config/config.ts";
import { denseWidth, routedLayers, sharedWidth } from "../config/layer_widths.ts";
import { ConfigError } from "../errors.ts";
import type { KeptRows } from "../moe/kept_rows.ts";
import type { PlanCapacity } from "../moe/plan_capacity.ts";
import { type ExpertSizes, routedSizes } from "../moe/layer_sizes.ts";
import { MergedExperts } from "../moe/merged_experts.ts";
import type { MergingRouter } from "../moe/merging_router.ts";
import { MoE } from "../moe/moe.ts";
import type { Router } from "../moe/router.ts";
import { routerOf } from "../moe/router_of.ts";
import type { RouterBuild, RouterPlace } from "../moe/router_row.ts";
import type { RoutingContext } from "../moe/routing_context.ts";
import type { RouterSettings } from "../moe/routers.ts";
import { FeedForward } from "../nn/feed_forward.ts";
import { SharedExpert } from "../nn/shared_expert.ts";
import type { Real } from "../tensor/dtype.ts";
import type { FeedForwardLayer } from "../nn/transformer_block.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What building a feed-forward layer needs besides the configuration. */
export interface FeedForwardPlace {
  /** Builds the router. */
  readonly build: RouterBuild<RouterSettings & ExpertSizes>;
  /** λ and the routing statistics, shared by all layers. */
  readonly state: StepState;
  /** The layer, from 0. */
  readonly layer: number;
  /** Its number among the layers with experts, from 0. */
  readonly routed: number;
  /** Rows whose pre-activations the layer keeps; undefined: all. */
  readonly kept: KeptRows | undefined;
  /** Rows that the layer may route; undefined: all. */
  readonly capacity: PlanCapacity | undefined;
  /** Takes the layer's router. */
  readonly routers: Router[];
}

/**
 * Builds a block's feed-forward layer: an MoE layer, with one expert if the model is dense, or a
 * merging layer.
 */
export function buildFeedForward<R extends Real>(
  device: Device,
  config: TrainConfig,
  place: FeedForwardPlace,
  dtype: R,
): FeedForwardLayer<R> {
  const { model: m, moe } = config;
  const { build, state, layer, routed, kept, capacity = "full", routers } = place;
  const name = `model.layers.${layer}.block_sparse_moe`;
  using unfinished = new DisposableStack();
  const router = unfinished.use(
    build(device, routerPlace(config, state, routed, `${name}.gate.weight`), moe),
  );
  requireWeights(config, router);
  const deviations = deviationsOf(config);
  const options = {
    hidden: m.hidden,
    width: m.ffn / moe.granularity,
    ...deviations,
    name: `${name}.experts`,
    ...{ state, layer: routed, dtype },
    ...(kept === undefined ? {} : { kept }),
  };
  const experts = unfinished.use(
    routerOf(moe).merges
      ? new MergedExperts<number, number, R>(device, {
        ...options,
        router: router as MergingRouter,
      })
      : new MoE<number, number, R>(device, { ...options, router, capacity }),
  );
  // Several experts that all tokens use are one that is as wide as all of them together.
  const width = sharedWidth(config);
  const shared = width === 0 ? null : unfinished.use(
    new SharedExpert<R>(device, {
      ...{ dtype, hidden: m.hidden, width, gated: moe.shared_gate },
      ...{ ...deviations, name },
    }),
  );
  routers.push(router);
  const owned = unfinished.move();
  return {
    forward<T extends number>(
      x: Tensor<R, readonly [T, number]>,
      context?: Partial<RoutingContext>,
    ) {
      const { output } = experts.forward(x, { ...context, layer: routed });
      return shared === null ? output : add<R, readonly [T, number]>(output, shared.forward(x));
    },
    *parameters() {
      yield* experts.parameters();
      if (shared !== null) yield* shared.parameters();
    },
    buffers: () => experts.buffers(),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Builds the dense network of a layer that has no experts, named as Llama's. */
export function buildDense<R extends Real>(
  device: Device,
  config: TrainConfig,
  layer: number,
  dtype: R,
): FeedForward<R> {
  return new FeedForward<R>(device, {
    ...{ dtype, hidden: config.model.hidden, width: denseWidth(config) },
    ...deviationsOf(config),
    name: `model.layers.${layer}.mlp`,
  });
}

function deviationsOf(
  { model: { init_std, layers } }: TrainConfig,
): { readonly deviation: number; readonly outputDeviation: number } {
  return { deviation: init_std, outputDeviation: init_std / Math.sqrt(2 * layers) };
}

function routerPlace(
  config: TrainConfig,
  state: StepState,
  layer: number,
  name: string,
): RouterPlace {
  const { model: { hidden }, moe } = config;
  return {
    hidden,
    ...routedSizes(moe),
    ...{ layers: routedLayers(config), layer },
    deviation: moe.router_std,
    ...{ name, state },
  };
}

/** Throws unless the router has as many weights as its row says: memory and FLOPs rely on that. */
function requireWeights({ model: { hidden }, moe }: TrainConfig, router: Router): void {
  const weights = [...router.parameters()].reduce((sum, { size }) => sum + size, 0);
  const expected = routerOf(moe).weights(hidden, routedSizes(moe).experts);
  if (weights === expected) return;
  throw new ConfigError(
    `Cannot build a model with the router ${moe.router}: it has ${weights} weights per layer, and ` +
      `its row says ${expected}; give the row weights(hidden, experts)`,
  );
}
