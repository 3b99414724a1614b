/** Routers and MoE layers. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { expertChoiceGates } from "../../../kernels/cases/reference/expert_choice.ts";
import { softmax } from "../../../kernels/cases/reference/reduction.ts";
import { sparseMixerRow } from "../../../kernels/cases/reference/sparsemixer.ts";
import { lory, meanOf } from "../../moe/lory_reference.ts";
import { mixture } from "../../nn/language_model_reference.ts";
import { demand, demandTensor, elements, type Entry, f32, type HostTensor } from "../entry.ts";
import { weights, type World } from "../world.ts";
import {
  built,
  demandForward,
  demandPositive,
  demandRows,
  demandSizes,
  weightsOf,
} from "./layers.ts";
import { product } from "./products.ts";

const SIZES = { hidden: 4, experts: 3, active: 2 };
const EVALUATION = { sequence: 1, training: false };

/** Types of the states that the library's routers take. */
const STATES: readonly DType[] = ["f32", "bf16"];

function logits(x: unknown): HostTensor {
  demandTensor(x, STATES);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const shape = [SIZES.hidden, SIZES.experts];
  return product(f32(x.shape, x.data), f32(shape, weights(shape)));
}

/** Counts of routed pairs, and gates, as every router returns them. */
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

/** The largest logits: the first among equals, and a NaN only where no number is left before it. */
function largest(logits: readonly number[], count: number): number[] {
  const chosen: number[] = [];
  while (chosen.length < count) {
    const left = [...logits.keys()].filter((e) => !chosen.includes(e));
    chosen.push(left.reduce((best, e) => logits[e]! > logits[best]! ? e : best));
  }
  return chosen;
}

/** What the experts choose from each group of tokens, two experts per token on average. */
function chosenBy(x: unknown, group: number) {
  const { shape, data } = logits(x);
  const { experts, active } = SIZES;
  const capacity = Math.max(1, Math.floor(group * active / experts));
  const { gates, chosen } = expertChoiceGates(Float64Array.from(data), experts, {
    ...{ group, capacity },
  });
  return { ...right(f32(shape, [...chosen])), gates: f32(shape, [...gates]) };
}

function relu(w: World): remoe.ReluRouter {
  return w.layer(new remoe.ReluRouter(w.device, { ...SIZES, lambda: 0.5, alpha: 2 }));
}

/** Softmax weights of the experts per segment of one sequence, and the segment of each token. */
function merging(x: unknown): { rows: Float64Array; networks: number[]; length: number } {
  demandTensor(x, STATES);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const tokens = x.shape[0]!;
  const length = Math.ceil(tokens / 4);
  const states = Float64Array.from(x.data);
  const starts = Array.from({ length: Math.ceil(tokens / length) }, (_, s) => s * length);
  const means = starts.flatMap((start) => {
    const from = Math.max(0, start - length);
    return [...meanOf(states, from, Math.min(tokens, from + length), SIZES.hidden)];
  });
  const { data } = logits(f32([starts.length, SIZES.hidden], means));
  return {
    rows: softmax(Float64Array.from(data), SIZES.experts),
    networks: Array.from({ length: tokens }, (_, t) => Math.floor(t / length)),
    length,
  };
}

/** Refuses all contexts but one sequence outside generation. */
function demandOneSequence(context: unknown): void {
  if (context === undefined) return;
  demandContext(context);
  const { sequence = 5, generation = null } = context as Record<string, unknown>;
  demand(sequence === 5 && generation === null, "sequence");
}

function sigmoid(w: World): remoe.SigmoidRouter {
  return w.layer(new remoe.SigmoidRouter(w.device, { ...SIZES, biasRate: 0.5 }));
}

function demandScale({ gateScale = 1 }: { gateScale?: number }): void {
  demand(Number.isFinite(gateScale) && gateScale > 0, "gateScale");
}

function demandWarmup(warmup: unknown, active: number, experts: number): void {
  if (warmup === undefined) return;
  demand(typeof warmup === "object" && warmup !== null && !Array.isArray(warmup), "warmup");
  const { active: most, steps } = warmup as remoe.TopKWarmup;
  demand(Number.isInteger(most) && most >= active && most <= experts, "warmup.active");
  demand(Number.isSafeInteger(steps) && steps >= 0, "warmup.steps");
}

const routers: readonly Entry[] = [
  ...built({
    of: "LoryRouter",
    options: () => ({ ...SIZES, deviation: 0.1, name: "g" }),
    build: (device, options) => new remoe.LoryRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: ({ hidden, experts, name = "gate.weight" }) => ({ [name]: [hidden, experts] }),
  }),
  {
    of: "LoryRouter.merge",
    make: (w) => [w.layer(new remoe.LoryRouter(w.device, SIZES)), w.f32([5, 4])],
    call: async (router, x) => {
      const { weights: shares, networkOf, tokens } = router.merge(x);
      return { shares, networks: [...await remoe.read(networkOf)], tokens };
    },
    right: (_, x) => {
      const { rows, networks } = merging(x);
      const tokens = [...new Set(networks)].map((n) => networks.filter((m) => m === n).length);
      return { shares: f32([tokens.length, SIZES.experts], [...rows]), networks, tokens };
    },
    object: true,
  },
  {
    of: "LoryRouter.route",
    make: (w) => [w.layer(new remoe.LoryRouter(w.device, SIZES)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { rows, networks } = merging(x);
      const { experts } = SIZES;
      const gates = networks.flatMap((n) => [...rows.subarray(n * experts, (n + 1) * experts)]);
      return right(f32([networks.length, experts], gates));
    },
    object: true,
  },
  ...built({
    of: "ReluRouter",
    options: () => ({
      ...SIZES,
      balance: "load",
      activation: "relu",
      revive: 0.5,
      lambda: 1e-3,
      alpha: 1.5,
      rule: "sign",
      gain: 0.1,
      damping: 0.2,
      deviation: 0.1,
      name: "g",
    }),
    build: (device, options) => new remoe.ReluRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: ({ hidden, experts, active = 1, lambda, alpha = 1.2, name, ...options }) => {
      const { balance = "load", activation = "relu", rule = "sign" } = options;
      const balances = ["load", "plain", "none", "load-squared", "transport"];
      demand(["relu", "relu-squared", "tanh"].includes(activation), "activation");
      demand(["sign", "proportional"].includes(rule), "rule");
      demandPositive(options, "revive", "gain", "damping");
      demand(Number.isFinite(active) && active > 0 && active <= experts, "active");
      demand(balances.includes(balance), "balance");
      demandPositive({ lambda }, "lambda");
      demand(Number.isFinite(alpha) && alpha > 0, "alpha");
      return { [name ?? "gate.weight"]: [hidden, experts] };
    },
  }),
  ...built({
    of: "TopKRouter",
    options: () => ({
      ...SIZES,
      balanceCoefficient: 0.01,
      zCoefficient: 0.001,
      renormalize: true,
      gateScale: 2,
      warmup: { active: 3, steps: 10 },
      name: "g",
    }),
    build: (device, options) => new remoe.TopKRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, renormalize = false, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(typeof renormalize === "boolean" && !(renormalize && active === 1), "renormalize");
      demandPositive(options, "balanceCoefficient", "zCoefficient");
      demandScale(options);
      demandWarmup(options.warmup, active, experts);
      return { [name]: [hidden, experts] };
    },
  }),
  ...built({
    of: "SigmoidRouter",
    options: () => ({ ...SIZES, normalize: true, biasRate: 0.01, gateScale: 2.5, name: "g" }),
    build: (device, options) => new remoe.SigmoidRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, normalize = false, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(typeof normalize === "boolean" && !(normalize && active === 1), "normalize");
      demandPositive(options, "biasRate");
      demandScale(options);
      return { [name]: [hidden, experts] };
    },
  }),
  ...built({
    of: "SparseMixerRouter",
    options: () => ({ ...SIZES, jitter: 0.2, balanceCoefficient: 0.01, name: "g" }),
    build: (device, options) => new remoe.SparseMixerRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, jitter = 0.1, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(Number.isFinite(jitter) && Math.fround(jitter) > 0, "jitter");
      demandPositive(options, "balanceCoefficient");
      return { [name]: [hidden, experts] };
    },
  }),
  ...built({
    of: "ExpertChoiceRouter",
    options: () => ({ ...SIZES, capacity: 1.5, group: "sequence", deviation: 0.1, name: "g" }),
    build: (device, options) => new remoe.ExpertChoiceRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, capacity = 1, name = "gate.weight" } = options;
      const { group = "batch" } = options;
      demand(Number.isFinite(active) && active > 0, "active");
      demand(Number.isFinite(capacity) && capacity > 0, "capacity");
      demand(active * capacity <= experts, "share");
      demand(["batch", "sequence"].includes(group), "group");
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
      const shares = [...softmax(Float64Array.from(data), experts)];
      const gates = Array<number>(shares.length).fill(0);
      for (let first = 0; first < data.length; first += experts) {
        for (const e of largest(data.slice(first, first + experts), SIZES.active)) {
          gates[first + e] = shares[first + e]!;
        }
      }
      return right(f32(shape, gates));
    },
    object: true,
  },
  ...([undefined, EVALUATION] as const).map((context): Entry => ({
    of: "SparseMixerRouter.route",
    ...context === undefined ? {} : { variant: "in evaluation" },
    make: (w) => [
      w.layer(new remoe.SparseMixerRouter(w.device, { ...SIZES, jitter: 1 })),
      w.f32([5, 4]),
      ...context === undefined ? [] : [context],
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    // No tape records: without a context it is an evaluation.
    right: (_, x, context) => {
      const { shape, data } = logits(x);
      demandContext(context);
      const experts = SIZES.experts;
      const gates = Array<number>(data.length).fill(0);
      for (let first = 0; first < data.length; first += experts) {
        const row = data.slice(first, first + experts);
        const { order, probabilities } = sparseMixerRow(row, null, SIZES.active, 1);
        order.forEach((e, i) => gates[first + e] = probabilities[i]!);
      }
      return right(f32(shape, gates));
    },
    object: true,
  })),
  {
    of: "TopKRouter.route",
    variant: "in its warmup",
    make: (w) => {
      const warmup = { active: 3, steps: 2 };
      const router = w.layer(new remoe.TopKRouter(w.device, { ...SIZES, warmup }));
      return [router, w.f32([5, 4]), { step: 1 }];
    },
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      const { shape, data } = logits(x);
      demandContext(context);
      const { step = Infinity } = context ?? {};
      const shares = softmax(Float64Array.from(data), SIZES.experts);
      const gates = data.map(() => 0);
      for (let first = 0; first < data.length; first += SIZES.experts) {
        const active = step < 2 ? 3 : SIZES.active;
        for (const e of largest(data.slice(first, first + SIZES.experts), active)) {
          gates[first + e] = shares[first + e]!;
        }
      }
      return right(f32(shape, gates));
    },
    object: true,
  },
  {
    of: "SigmoidRouter.route",
    make: (w) => [w.layer(sigmoid(w)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      const experts = SIZES.experts;
      const scores = data.map((logit) => 1 / (1 + Math.exp(-logit)));
      const [gates, routes] = [scores.map(() => 0), scores.map(() => 0)];
      for (let first = 0; first < data.length; first += experts) {
        const chosen = largest(scores.slice(first, first + experts), SIZES.active);
        const total = chosen.reduce((sum, e) => sum + scores[first + e]!, 0);
        for (const e of chosen) {
          routes[first + e] = 1;
          gates[first + e] = scores[first + e]! / (total + 1e-20);
        }
      }
      return { ...right(f32(shape, routes)), gates: f32(shape, gates) };
    },
    object: true,
  },
  {
    of: "SigmoidRouter.bias",
    make: (w) => [sigmoid(w)],
    call: (router) => router.bias,
    right: () => f32([3], [0, 0, 0]),
    object: true,
  },
  {
    of: "SigmoidRouter.afterStep",
    make: (w) => [sigmoid(w), [6, 3, 0]],
    call: (router, counts) => {
      router.afterStep(counts);
      return router.bias;
    },
    right: (_, counts) => {
      demand(Array.isArray(counts) && counts.length === SIZES.experts, "counts");
      demand(counts.every((count) => Number.isSafeInteger(count) && count >= 0), "count");
      const mean = counts.reduce((sum, count) => sum + count, 0) / SIZES.experts;
      return f32([3], counts.map((count: number) => 0.5 * Math.sign(mean - count)));
    },
    object: true,
  },
  {
    of: "DenseRouter.route",
    make: (w) => [new remoe.DenseRouter(w.device, SIZES), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      demandRows(x, SIZES.hidden, STATES);
      const shape = [x.shape[0]!, SIZES.experts];
      return right(f32(shape, Array(elements(shape)).fill(1)));
    },
    object: true,
  },
  {
    of: "HashRouter.route",
    make: (w) => [
      new remoe.HashRouter(w.device, SIZES),
      w.f32([5, 4]),
      { tokens: w.i32([1, 2, 3, 4, 5]), sequence: 5 },
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      demandRows(x, SIZES.hidden, STATES);
      demand(x.shape[0] === 5, "tokens");
      demand(typeof context === "object" && context !== null, "no token ids");
      demandContext(context);
      const { tokens } = context as { tokens?: unknown };
      demandTensor(tokens, ["i32"]);
      const ids = [...tokens.data];
      const gates = ids.flatMap((id) => [0, 1, 2].map((e) => Number((id % 3 + 3) % 3 === e)));
      return right(f32([5, SIZES.experts], gates));
    },
    object: true,
  },
  {
    of: "ExpertChoiceRouter.route",
    make: (w) => [w.layer(new remoe.ExpertChoiceRouter(w.device, SIZES)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => chosenBy(x, (x as HostTensor).shape[0]!),
    object: true,
  },
  {
    of: "ExpertChoiceRouter.route",
    variant: "by sequence",
    make: (w) => [
      w.layer(new remoe.ExpertChoiceRouter(w.device, { ...SIZES, group: "sequence" })),
      w.f32([5, 4]),
      { sequence: 5, training: true, step: 2, layer: 1 },
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      demandTensor(x, STATES);
      const [count = 0] = x.shape;
      demand(context === undefined || (typeof context === "object" && context !== null), "context");
      const { sequence = count } = (context ?? {}) as { sequence?: number };
      demand(Number.isInteger(sequence) && sequence > 0 && count % sequence === 0, "sequence");
      demandContext(context && { ...context, sequence: 5 });
      return chosenBy(x, sequence);
    },
    object: true,
  },
  {
    of: "new HashRouter",
    make: (w) => [w.device, { hidden: 4, experts: 3 }],
    call: (device, options) => {
      using router = new remoe.HashRouter(device, options);
      return [router.hidden, router.experts, router.active];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "no device");
      demandSizes(options, "hidden", "experts");
      return [options.hidden, options.experts, 1];
    },
  },
  ...[
    remoe.ReluRouter,
    remoe.TopKRouter,
    remoe.LoryRouter,
    remoe.SparseMixerRouter,
    remoe.ExpertChoiceRouter,
    remoe.SigmoidRouter,
  ].map((Router): Entry => ({
    of: `${Router.name}.weight`,
    make: (w) => [w.layer(new Router(w.device, SIZES))],
    call: (router) => router.weight,
    right: () => f32([4, 3], weights([4, 3])),
    object: true,
  })),
  {
    of: "ReluRouter.adapt",
    make: (w) => [relu(w), 0.1],
    call: (router, sparsity) => router.adapt(sparsity),
    right: (_, sparsity) => {
      demand(Number.isFinite(sparsity) && sparsity >= 0 && sparsity <= 1, "sparsity");
      return 0.5 * 2 ** Math.sign(1 - SIZES.active / SIZES.experts - sparsity);
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
    of: "new DenseRouter",
    make: (w) => [w.device, { hidden: 4, experts: 3 }],
    call: (device, options) => {
      using router = new remoe.DenseRouter(device, options);
      return [router.hidden, router.experts, router.active];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "no device");
      demandSizes(options, "hidden", "experts");
      return [options.hidden, options.experts, options.experts];
    },
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
    of: "routingOf",
    variant: "with a selection",
    make: (w) => [
      w.tensor("f32", [2, 3], [0, 0.5, -1, 0, 0, 2]),
      { selected: w.tensor("f32", [2, 3], [1, 0, 1, 0, 0, -3]) },
    ],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { selected = gates } = options;
      demandTensor(selected);
      demand(`${gates.shape}` === `${selected.shape}`, "shapes");
      return { ...right(selected), gates };
    },
  },
  {
    of: "routingOf",
    variant: "with a regularization",
    make: (w) => [
      w.tensor("f32", [2, 3], [0, 0.5, 1, 0, 0, 2]),
      {
        regularization: {
          state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
          balance: "plain",
          layers: 2,
        },
      },
    ],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { regularization } = options;
      if (regularization !== undefined) {
        demand(typeof regularization === "object" && regularization !== null, "regularization");
        const { state, balance = "load", layers = 2 } = regularization;
        demand(state instanceof remoe.StepState, "state");
        demand(balance === "load" || balance === "plain", "balance");
        demandSizes({ layers }, "layers");
      }
      return right(gates);
    },
  },
];

/** A user-defined router that sends every token to the first expert. */
function first(w: World): Record<string, unknown> {
  const { device } = w;
  return {
    hidden: 4,
    experts: 3,
    active: 1,
    route: ({ shape: [tokens] }: remoe.Tensor) =>
      remoe.routingOf(device.from(Array(tokens).fill([1, 0, 0]).flat(), [tokens!, 3])),
    parameters: () => [],
    [Symbol.dispose]: () => {},
  };
}

function moeShapes({ router, hidden, width, layer = 0, kept, name = "experts" }: MoeOptions) {
  demand(typeof router === "object" && router !== null, "router");
  for (const method of ["route", "parameters"]) {
    demand(typeof router[method] === "function", method);
  }
  demandSizes(router, "experts");
  demand(router.hidden === hidden, "hidden");
  demand(Number.isInteger(layer) && layer >= 0 && layer < 2, "layer");
  if (kept !== undefined) {
    demand(typeof kept === "object" && kept !== null, "kept");
    demand(kept.rows === Infinity || (Number.isInteger(kept.rows) && kept.rows >= 0), "rows");
  }
  const { experts } = router as { experts: number };
  return { [`${name}.w1`]: [experts, hidden, 2 * width], [`${name}.w2`]: [experts, width, hidden] };
}

interface MoeOptions {
  router: Record<string, unknown>;
  hidden: number;
  width: number;
  layer?: number;
  kept?: { rows: number };
  name?: string;
}

/** What the layer makes of its states. */
function forwarded(layer: Parameters<typeof weightsOf>[0], x: unknown): HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === 4, "shape");
  const all = weightsOf(layer);
  const given = { ...all, "x.gate": all["gate.weight"]! };
  const reference = mixture({ ...SIZES, width: 2, router: "relu" });
  return f32(x.shape, reference(Float64Array.from(x.data), given, "x").y);
}

/** What the merging layer makes of its states. */
function merged(layer: Parameters<typeof weightsOf>[0], x: unknown): HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const all = weightsOf(layer);
  const sizes = { ...SIZES, sequences: 1, sequence: x.shape[0]!, width: 2 };
  const states = Float64Array.from(x.data);
  const inputs = {
    ...{ x: states, router: all["gate.weight"]! },
    ...{ w1: all["experts.w1"]!, w2: all["experts.w2"]! },
  };
  return f32(x.shape, lory(inputs, states, sizes));
}

const layers: readonly Entry[] = [
  ...built({
    of: "MergedExperts",
    options: (w) => ({
      router: w.using(new remoe.LoryRouter(w.device, SIZES)),
      hidden: 4,
      width: 2,
      deviation: 0.1,
      outputDeviation: 0.2,
      name: "e",
      state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
      layer: 1,
      kept: { rows: 4 },
    }),
    build: (device, options) => new remoe.MergedExperts(device, options),
    sizes: ["hidden", "width"],
    shapes: (options) => {
      const { router, ...rest } = options;
      demand(typeof router?.merge === "function", "merge");
      return { "gate.weight": [4, 3], ...moeShapes({ router, ...rest }) };
    },
    needs: ["router"],
  }),
  ...[[], [{ sequence: 5, training: true }]].map((context): Entry => ({
    of: "MergedExperts.forward",
    variant: context.length === 0 ? "" : "with a context",
    make: (w) => {
      const router = w.layer(new remoe.LoryRouter(w.device, SIZES));
      const layer = w.layer(new remoe.MergedExperts(w.device, { router, hidden: 4, width: 2 }));
      return [layer, w.f32([5, 4]), ...context];
    },
    call: (layer, x, given) => layer.forward(x, given).output,
    right: (layer, x, given) => {
      const y = merged(layer, x);
      if (given !== undefined) {
        demand(x.shape[0] === 5, "tokens");
        demandOneSequence(given);
      }
      return y;
    },
    object: true,
  })),
  ...built({
    of: "MoE",
    options: (w) => ({
      router: w.using(new remoe.DenseRouter(w.device, SIZES)),
      hidden: 4,
      width: 2,
      deviation: 0.1,
      outputDeviation: 0.2,
      name: "e",
      state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
      layer: 1,
      kept: { rows: 4 },
    }),
    build: (device, options) => new remoe.MoE(device, options),
    sizes: ["hidden", "width"],
    shapes: moeShapes,
    needs: ["router"],
  }),
  ...built({
    variant: "with a user-defined router",
    of: "MoE",
    options: (w) => ({ router: first(w), hidden: 4, width: 2 }),
    build: (device, options) => new remoe.MoE(device, options),
    sizes: ["hidden", "width"],
    shapes: moeShapes,
    needs: ["router"],
  }),
  {
    of: "MoE.forward",
    make: (w) => [
      w.layer(new remoe.MoE(w.device, { router: relu(w), hidden: 4, width: 2, name: "x.experts" })),
      w.f32([5, 4]),
    ],
    call: (layer, x) => layer.forward(x).output,
    right: forwarded,
    object: true,
  },
  {
    of: "MoE.forward",
    variant: "with a context",
    make: (w) => [
      w.layer(new remoe.MoE(w.device, { router: relu(w), hidden: 4, width: 2, name: "x.experts" })),
      w.f32([5, 4]),
      { tokens: w.i32([1, 2, 3, 4, 5]), sequence: 5, training: true, step: 2, layer: 1 },
    ],
    call: (layer, x, context) => layer.forward(x, context).output,
    right: (layer, x, context) => {
      const y = forwarded(layer, x);
      demand(x.shape[0] === 5, "tokens");
      demandContext(context);
      return y;
    },
    object: true,
  },
];

/** A context of five tokens; undefined: the default one. */
function demandContext(context: unknown): void {
  if (context === undefined) return;
  demand(typeof context === "object" && context !== null && !Array.isArray(context), "context");
  const { tokens, sequence = 5, layer = 0 } = context as Record<string, unknown>;
  if (tokens !== undefined && tokens !== null) {
    demandTensor(tokens, ["i32"]);
    demand(tokens.shape.join() === "5", "tokens");
  }
  demand(sequence === 1 || sequence === 5, "sequence");
  demand(Number.isSafeInteger(layer) && layer as number >= 0, "layer");
  demandForward(context);
}

/** Routers and MoE layers. */
export const mixtures: readonly Entry[] = [...routers, ...layers];
