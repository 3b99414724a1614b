/** The model of a configuration. @module */

import { type Device, memoryOf } from "../autograd/device.ts";
import { StepState } from "../autograd/step_state.ts";
import { DenseRouter } from "../moe/dense_router.ts";
import { MoE } from "../moe/moe.ts";
import { ReluRouter } from "../moe/relu_router.ts";
import type { Router, Routing } from "../moe/router.ts";
import { TopKRouter } from "../moe/topk_router.ts";
import { LanguageModel } from "../nn/language_model.ts";
import type { FeedForwardLayer } from "../nn/transformer_block.ts";
import type { KeptRows } from "../moe/kept_rows.ts";
import type { TrainConfig } from "../config/config.ts";

/** A model and the state that its layers share. */
export interface BuiltModel extends Disposable {
  /** The model. */
  readonly model: LanguageModel;
  /** λ and the routing's statistics, one record a layer. */
  readonly state: StepState;
}

/** Sees the routing of a layer in each forward pass; the tensors belong to the open scope. */
export type RoutingObserver = (layer: number, routing: Routing) => void;

/**
 * Builds the model of a configuration with random weights, which its seed alone decides: neither the
 * seed of the device nor what was drawn on it before.
 *
 * Under granularity G the layers see E·G experts of width `ffn`/G, of which k·G are wanted.
 *
 * @param device Where it lives.
 * @param config The configuration.
 * @param kept Rows of each layer that keep their pre-activations; default all.
 * @param observe Sees what the routers decide.
 * @returns The model; dispose of it to free its weights.
 */
export function buildModel(
  device: Device,
  config: TrainConfig,
  kept: readonly KeptRows[] = [],
  observe?: RoutingObserver,
): BuiltModel {
  const { model: m, moe } = config;
  using unfinished = new DisposableStack();
  const state = unfinished.use(
    new StepState(device, {
      layers: m.layers,
      experts: moe.experts * moe.granularity,
      lambda: moe.lambda0,
    }),
  );
  const model = memoryOf(device).withSeed(config.seed, () =>
    new LanguageModel(device, {
      vocabulary: m.vocabulary,
      layers: m.layers,
      hidden: m.hidden,
      heads: m.heads,
      groups: m.groups,
      ropeBase: m.rope_base,
      normEpsilon: m.norm_epsilon,
      deviation: m.init_std,
      feedForward: (layer) =>
        buildFeedForward(device, config, { state, layer, kept: kept[layer], observe }),
    }));
  unfinished.move();
  return {
    model,
    state,
    [Symbol.dispose](): void {
      model[Symbol.dispose]();
      state[Symbol.dispose]();
    },
  };
}

/** A block's second half: an MoE layer, of one expert where the model is dense. */
function buildFeedForward(
  device: Device,
  config: TrainConfig,
  place: {
    state: StepState;
    layer: number;
    kept: KeptRows | undefined;
    observe: RoutingObserver | undefined;
  },
): FeedForwardLayer {
  const { model: m, moe } = config;
  const { state, layer, kept, observe } = place;
  const name = `model.layers.${layer}.block_sparse_moe`;
  const router = buildRouter(device, config, state, `${name}.gate.weight`);
  const experts = new MoE(device, {
    router,
    hidden: m.hidden,
    width: m.ffn / moe.granularity,
    deviation: m.init_std,
    outputDeviation: m.init_std / Math.sqrt(2 * m.layers),
    name: `${name}.experts`,
    state,
    layer,
    ...(kept === undefined ? {} : { kept }),
  });
  return {
    forward: (x) => {
      const { output, routing } = experts.forward(x);
      observe?.(layer, routing);
      return output;
    },
    parameters: () => experts.parameters(),
    [Symbol.dispose](): void {
      experts[Symbol.dispose]();
      router[Symbol.dispose]();
    },
  };
}

function buildRouter(
  device: Device,
  config: TrainConfig,
  state: StepState,
  name: string,
): Router {
  const { model: { hidden, layers, init_std: deviation }, moe } = config;
  const sizes = {
    hidden,
    experts: moe.experts * moe.granularity,
    active: moe.active * moe.granularity,
    deviation,
    name,
  };
  switch (moe.router) {
    case "dense":
      return new DenseRouter(device, sizes);
    case "topk":
      return new TopKRouter(device, {
        ...sizes,
        balanceCoefficient: moe.balance_coefficient,
        renormalize: moe.renormalize,
      });
    case "relu":
      return new ReluRouter(device, {
        ...sizes,
        layers,
        state,
        balance: moe.balance,
        lambda: moe.lambda0,
        alpha: moe.alpha,
      });
  }
}
