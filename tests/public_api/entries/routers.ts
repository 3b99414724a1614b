/** Routers, MoE layers, the step's state and the optimizer. @module */

import * as remoe from "@remoe/remoe";
import { mixture } from "../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../entry.ts";
import { weights, type World } from "../world.ts";
import { built, demandPositive, demandSizes, weightsOf } from "./layers.ts";
import { product } from "./products.ts";

const SIZES = { hidden: 4, experts: 3, active: 2 };

function logits(x: unknown): HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const shape = [SIZES.hidden, SIZES.experts];
  return product(x, f32(shape, weights(shape)));
}

/** Numbers of routed pairs and gates, as every router gives them. */
async function routed(routing: remoe.Routing) {
  const [gates, counts] = [routing.gates, await remoe.read(routing.counts)];
  return { gates, counts: [...counts], sparsity: await routing.sparsity() };
}

function right(gates: HostTensor) {
  const [tokens, experts] = gates.shape as readonly [number, number];
  const counts = Array.from(
    { length: experts },
    (_, e) => gates.data.filter((gate, i) => i % experts === e && gate !== 0).length,
  );
  const total = counts.reduce((sum, count) => sum + count, 0);
  return { gates, counts, sparsity: 1 - total / (tokens * experts) };
}

function relu(w: World): remoe.ReluRouter {
  return w.layer(new remoe.ReluRouter(w.device, { ...SIZES, lambda: 0.5, alpha: 2 }));
}

const routers: readonly Entry[] = [
  built({
    of: "ReluRouter",
    options: () => ({
      ...SIZES,
      balance: "load",
      lambda: 1e-3,
      alpha: 1.5,
      deviation: 0.1,
      name: "g",
    }),
    build: (device, options) => new remoe.ReluRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: ({ hidden, experts, active = 1, balance = "load", lambda, alpha = 1.2, name }) => {
      demand(Number.isFinite(active) && active > 0 && active <= experts, "active");
      demand(["load", "plain", "none"].includes(balance), "balance");
      demandPositive({ lambda }, "lambda");
      demand(Number.isFinite(alpha) && alpha > 0, "alpha");
      return { [name ?? "gate.weight"]: [hidden, experts] };
    },
  }),
  built({
    of: "TopKRouter",
    options: () => ({ ...SIZES, balanceCoefficient: 0.01, renormalize: true, name: "g" }),
    build: (device, options) => new remoe.TopKRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, renormalize = false, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(typeof renormalize === "boolean" && !(renormalize && active === 1), "renormalize");
      demandPositive(options, "balanceCoefficient");
      return { [name]: [hidden, experts] };
    },
  }),
  {
    of: "ReluRouter.route",
    make: (w) => [relu(w), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      return right(f32(shape, data.map((logit) => Math.max(0, logit))));
    },
    object: true,
  },
  {
    of: "TopKRouter.route",
    make: (w) => [w.layer(new remoe.TopKRouter(w.device, SIZES)), w.f32([1, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      const experts = SIZES.experts;
      const gates = data.map((logit, i) => {
        const row = data.slice(i - (i % experts), i - (i % experts) + experts);
        const total = row.reduce((sum, other) => sum + Math.exp(other), 0);
        // Of equal logits the expert that comes first.
        const before = row.filter((other, e) =>
          other > logit || (other === logit && e < i % experts)
        );
        return before.length < SIZES.active ? Math.exp(logit) / total : 0;
      });
      return right(f32(shape, gates));
    },
    object: true,
  },
  {
    of: "ReluRouter.adapt",
    make: (w) => [relu(w), 0.1],
    call: (router, sparsity) => router.adapt(sparsity),
    right: (_, sparsity) => {
      demand(Number.isFinite(sparsity) && sparsity >= 0 && sparsity <= 1, "sparsity");
      return sparsity < 1 - SIZES.active / SIZES.experts ? 1 : 0.25;
    },
    object: true,
  },
  {
    of: "ReluRouter.lambda",
    make: (w) => [relu(w)],
    call: (router) => router.lambda,
    right: () => 0.5,
    object: true,
  },
  {
    of: "routingOf",
    make: (w) => [w.tensor("f32", [2, 3], [0, 0.5, 1, 0, 0, 2]), { active: 1.5 }],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { active = 1 } = options;
      demand(Number.isFinite(active) && active > 0, "active");
      return right(gates);
    },
  },
  {
    of: "MoE.forward",
    make: (w) => [
      w.layer(new remoe.MoE(w.device, { router: relu(w), hidden: 4, width: 2, name: "x.experts" })),
      w.f32([5, 4]),
    ],
    call: (layer, x) => layer.forward(x).output,
    right: (layer, x) => {
      demandTensor(x);
      demand(x.shape.length === 2 && x.shape[1] === 4, "shape");
      const all = weightsOf(layer);
      const given = { ...all, "x.gate": all["gate.weight"]! };
      const reference = mixture({ ...SIZES, width: 2, router: "relu" });
      return f32(x.shape, reference(Float64Array.from(x.data), given, "x").y);
    },
    object: true,
  },
];

function state(w: World): remoe.StepState {
  return w.using(new remoe.StepState(w.device, { layers: 2, experts: 3, lambda: 0.25 }));
}

function demandNumber(value: unknown, name: string): void {
  demand(Number.isFinite(value), name);
}

const states: readonly Entry[] = [
  {
    of: "new StepState",
    make: (w) => [w.device, { layers: 2, experts: 3, lambda: 0.25 }],
    call: (device, options) => {
      using made = new remoe.StepState(device, options);
      const layers = made.read().layers.map(({ counts }) => [...counts]);
      return { lambda: made.lambda, layers };
    },
    right: (device, options = {}) => {
      demand(device instanceof remoe.Device, "device");
      const { layers = 1, experts = 1, lambda = 1e-8 } = options ?? {};
      demandSizes({ layers, experts }, "layers", "experts");
      demandPositive({ lambda }, "lambda");
      return { lambda, layers: Array(layers).fill(Array(experts).fill(0)) };
    },
  },
  {
    of: "StepState.setLambda",
    make: (w) => [state(w), 0.75],
    call: (made, lambda) => (made.setLambda(lambda), made.lambda),
    right: (_, lambda) => (demandPositive({ lambda: lambda ?? NaN }, "lambda"), lambda),
    object: true,
  },
  {
    of: "StepState.lambda",
    make: (w) => [state(w)],
    call: (made) => made.lambda,
    right: () => 0.25,
    object: true,
  },
  {
    of: "StepState.begin",
    make: (w) => [state(w)],
    call: (made) => (made.begin(), made.read().loss),
    right: () => 0,
    object: true,
  },
  {
    of: "StepState.addLoss",
    make: (w) => [state(w), w.tensor("f32", [], [3]), 0.5],
    call: (made, loss, share) => (made.addLoss(loss, share), made.read().loss),
    right: (_, loss, share) => {
      demandTensor(loss);
      demand(loss.data.length === 1, "a scalar");
      demandNumber(share, "share");
      return loss.data[0]! * share;
    },
    object: true,
  },
];

function parameters(w: World): remoe.Parameter[] {
  return [[2], [1, 2]].map((shape) =>
    w.using(w.device.parameter(shape, { mean: 1, deviation: 0, decay: false }))
  );
}

const optimizers: readonly Entry[] = [
  {
    of: "new AdamW",
    make: (w) => [
      w.device,
      parameters(w),
      { lr: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, clip: 1 },
    ],
    call: (device, list, options) => {
      using optimizer = new remoe.AdamW(device, list, options);
      using tape = device.record();
      tape.backward(remoe.sum(list[0]));
      optimizer.step();
      const { steps } = optimizer;
      return remoe.read(list[0]).then((values) => ({ steps, values: [...values] }));
    },
    right: (device, list, options = {}) => {
      demand(device instanceof remoe.Device, "device");
      demand(Array.isArray(list) && list.length > 0 && new Set(list).size === list.length, "list");
      demand(typeof options === "object" && options !== null, "options");
      const { lr = 5e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options;
      const { weightDecay = 0.01, clip = 1 } = options;
      demandPositive({ lr, epsilon, weightDecay, clip }, "lr", "epsilon", "weightDecay", "clip");
      for (const beta of [beta1, beta2]) demand(beta >= 0 && beta < 1, "beta");
      // The first step of Adam goes by the learning rate, whatever the gradient's size.
      const gradient = clip > 0 ? Math.min(1, clip / Math.SQRT2) : 1;
      const moved = 1 - lr * gradient / (gradient + epsilon);
      return { steps: 1, values: [moved, moved] };
    },
  },
];

/** Routers to optimizers. */
export const training: readonly Entry[] = [...routers, ...states, ...optimizers];
