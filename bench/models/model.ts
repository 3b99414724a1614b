/** A language model whose routers can be exchanged between steps. @module */

import { fillNormal } from "../../lib/autograd/made_tensors.ts";
import { isParameter, type Parameter } from "../../lib/autograd/parameter.ts";
import type { Batch } from "../../lib/data/batches/batches.ts";
import { configuredLambda } from "../../lib/model/configured_lambda.ts";
import type { Router } from "../../lib/moe/router.ts";
import type { RouterPlace } from "../../lib/moe/router_row.ts";
import type { Routing } from "../../lib/moe/routing.ts";
import type { RoutingContext } from "../../lib/moe/routing_context.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import type { Tensor } from "../../lib/tensor/tensor.ts";
import type { TrainConfig } from "../../lib/train/mod.ts";
import { KeptRowsPlan } from "../../lib/train/kept_rows_plan.ts";
import { AdamW, type Device, LanguageModel, MoE, type StepReadout, StepState } from "../../mod.ts";
import { Random } from "../../kernels/cases/random.ts";
import { type Aim, AimedRouter } from "./aimed_router.ts";
import { type ModelPass, rowsOf } from "./work.ts";

/** Routers to time, by name. */
export type Aims<Name extends string> = Readonly<Record<Name, Aim>>;

/** Options of a {@linkcode BenchModel}. */
export interface BenchModelOptions<Name extends string> {
  /** Sizes, mixture and micro-batch; its router does not matter. */
  readonly config: TrainConfig;
  /** The routers, all over the same experts. */
  readonly aims: Aims<Name>;
  /** Whether to make an optimizer, whose moments take memory. */
  readonly optimizer: boolean;
  /** The micro-batch; default random tokens. */
  readonly batch?: Pick<Batch, "tokens" | "targets">;
}

/**
 * A model with one set of experts and several routers, so that routers are compared in turn on the
 * same weights and with the memory of one model.
 *
 * The learning rate is 0: every step does all its work, yet the next one finds the same weights,
 * and so the same routing.
 */
export class BenchModel<Name extends string> implements Disposable {
  readonly #device: Device;
  readonly #config: TrainConfig;
  readonly #aims: Aims<Name>;
  readonly #model: LanguageModel;
  readonly #routers: SwitchedRouter<Name>[] = [];
  readonly #state: StepState;
  readonly #kept: KeptRowsPlan;
  readonly #optimizer: AdamW | null;
  readonly #tokens: Tensor<"i32", readonly [number]>;
  readonly #targets: Tensor<"i32", readonly [number]>;

  /**
   * Makes the model. {@linkcode BenchModel.use} chooses its routers, and aims them on first use.
   *
   * @param device The device.
   * @param options Sizes and routers.
   */
  constructor(device: Device, options: BenchModelOptions<Name>) {
    const { config, aims } = options;
    const { model, moe } = config;
    this.#device = device;
    this.#config = config;
    this.#aims = aims;
    this.#kept = new KeptRowsPlan(device, config, Infinity);
    this.#state = new StepState(device, {
      layers: model.layers,
      experts: moe.experts * moe.granularity,
      lambda: moe.lambda0,
    });
    this.#model = new LanguageModel(device, {
      vocabulary: model.vocabulary,
      layers: model.layers,
      hidden: model.hidden,
      heads: model.heads,
      groups: model.groups,
      ropeBase: model.rope_base,
      normEpsilon: model.norm_epsilon,
      deviation: model.init_std,
      feedForward: (layer) => this.#feedForward(layer),
    });
    this.#giveMean();
    this.#optimizer = options.optimizer
      ? new AdamW(device, this.#model.parameters(), { lr: 0, state: this.#state })
      : null;
    const { tokens, targets } = options.batch ?? randomBatch(config);
    this.#tokens = device.tokens(tokens);
    this.#targets = device.tokens(targets);
  }

  /** The model. */
  get languageModel(): LanguageModel {
    return this.#model;
  }

  #feedForward(layer: number) {
    const { model, moe } = this.#config;
    const name = `model.layers.${layer}.block_sparse_moe`;
    const router = new SwitchedRouter(this.#device, this.#config, this.#aims, {
      state: this.#state,
      name: `${name}.gate.weight`,
    });
    const experts = new MoE(this.#device, {
      router,
      hidden: model.hidden,
      width: model.ffn / moe.granularity,
      deviation: model.init_std,
      outputDeviation: model.init_std / Math.sqrt(2 * model.layers),
      ...{ state: this.#state, layer, name: `${name}.experts` },
      kept: this.#kept.layers[layer]!,
    });
    this.#routers.push(router);
    return {
      forward: <T extends number>(
        x: Tensor<"f32", readonly [T, number]>,
        context?: Partial<RoutingContext>,
      ) => experts.forward(x, context).output,
      parameters: () => experts.parameters(),
      [Symbol.dispose]: () => {
        experts[Symbol.dispose]();
        router[Symbol.dispose]();
      },
    };
  }

  /** Gives the embeddings a mean: routers are aimed along the tokens' mean, which must not be 0. */
  #giveMean(): void {
    const { init_std: deviation } = this.#config.model;
    for (const parameter of this.#model.parameters()) {
      const tensor = unwrapped(parameter);
      if (parameter.name.includes("embed_tokens") && isParameter(tensor)) {
        fillNormal(tensor, 2 * deviation, deviation);
      }
    }
  }

  /**
   * Chooses the routers for the next calls.
   *
   * @param name One of the aims.
   */
  use(name: Name): void {
    for (const router of this.#routers) router.use(name);
    this.#kept.expect(rowsOf(this.#config, this.#aims[name].density));
    if (this.#routers.some((router) => !router.isAimed)) this.forward();
  }

  /** Runs the model without a tape, including the loss. */
  forward(): void {
    using _scope = this.#device.noGradient();
    this.#model.loss(this.#tokens, this.#targets, this.#config.data.sequence);
  }

  /**
   * Runs a micro-batch forward and backward, with the statistics that training keeps. Gradients
   * accumulate until the step is finished, as over the micro-batches of a step.
   */
  forwardAndBackward(): void {
    const { data } = this.#config;
    using tape = this.#device.record();
    this.#state.begin();
    const { loss } = this.#model.loss(this.#tokens, this.#targets, data.sequence);
    this.#state.addLoss(loss, 1);
    tape.backward(loss);
  }

  /** Does what follows a step's micro-batches: λ, gradient norm, AdamW, reading back. */
  finishStep(): StepReadout {
    const { moe, data } = this.#config;
    const tokens = data.micro_batch * data.sequence;
    // λ stays the same, so that all steps are alike.
    this.#state.updateLambda(configuredLambda(moe, { tokens, adapt: false }));
    this.#optimizer?.step();
    return this.#state.read();
  }

  /**
   * Runs what is timed.
   *
   * @param pass How much of a step.
   */
  run(pass: ModelPass): void {
    if (pass === "forward") return this.forward();
    this.forwardAndBackward();
    if (pass === "step") this.finishStep();
  }

  [Symbol.dispose](): void {
    this.#tokens[Symbol.dispose]();
    this.#targets[Symbol.dispose]();
    this.#optimizer?.[Symbol.dispose]();
    this.#model[Symbol.dispose]();
    this.#state[Symbol.dispose]();
  }
}

function randomBatch({ model, data }: TrainConfig): Pick<Batch, "tokens" | "targets"> {
  const random = new Random("tokens");
  const count = data.micro_batch * data.sequence;
  return {
    tokens: random.integers(count, model.vocabulary),
    targets: random.integers(count, model.vocabulary),
  };
}

/** One of several routers, chosen by {@linkcode SwitchedRouter.use}. */
class SwitchedRouter<Name extends string> implements Router {
  readonly #routers: Readonly<Record<Name, AimedRouter>>;
  #name: Name;

  constructor(
    device: Device,
    config: TrainConfig,
    aims: Aims<Name>,
    shared: Pick<RouterPlace, "state" | "name">,
  ) {
    const { model: { hidden, layers, init_std: deviation }, moe } = config;
    const place = {
      hidden,
      experts: moe.experts * moe.granularity,
      active: moe.active * moe.granularity,
      ...{ layers, layer: 0, deviation, ...shared },
    };
    const names = Object.keys(aims) as Name[];
    this.#routers = Object.fromEntries(
      names.map((name) => [name, new AimedRouter(device, aims[name], place, moe)]),
    ) as Record<Name, AimedRouter>;
    this.#name = names[0]!;
  }

  get #current(): AimedRouter {
    return this.#routers[this.#name];
  }

  get hidden(): number {
    return this.#current.hidden;
  }

  get experts(): number {
    return this.#current.experts;
  }

  get active(): number {
    return this.#current.active;
  }

  /** Whether the current router has had its first call. */
  get isAimed(): boolean {
    return this.#current.isAimed;
  }

  use(name: Name): void {
    this.#name = name;
  }

  route<T extends number>(
    x: Tensor<"f32", readonly [T, number]>,
    context: RoutingContext,
  ): Routing<T, number> {
    return this.#current.route(x, context);
  }

  *parameters(): Iterable<Parameter> {
    for (const router of Object.values<AimedRouter>(this.#routers)) yield* router.parameters();
  }

  [Symbol.dispose](): void {
    for (const router of Object.values<AimedRouter>(this.#routers)) router[Symbol.dispose]();
  }
}
