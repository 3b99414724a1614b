/** The step state and the optimizer. @module */

import * as remoe from "@remoe/remoe";
import { memoryOf } from "../../../lib/autograd/device.ts";
import { stateAddress } from "../../../lib/autograd/step_state.ts";
import { type AdamWState, adamwStep } from "../../../kernels/cases/reference/adamw.ts";
import { demand, demandTensor, type Entry, f32 } from "../entry.ts";
import { weights, type World } from "../world.ts";
import { demandPositive, demandSizes } from "./layers.ts";

function state(w: World): remoe.StepState {
  const made = w.using(new remoe.StepState(w.device, { layers: 2, experts: 3, lambda: 0.25 }));
  devices.set(made, w.device);
  return made;
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

const devices = new WeakMap<remoe.StepState, remoe.Device>();

/** What the optimizer's kernels read from a state. */
function inputsOf(made: remoe.StepState): number[] {
  const bytes = new Uint8Array(4 * Float64Array.BYTES_PER_ELEMENT);
  memoryOf(devices.get(made)!).kernels.readBytes(stateAddress(made, "read"), bytes);
  return [...new Float64Array(bytes.buffer)];
}

/** A state in which one of two layers has routed five tokens to two experts each. */
function routedState(w: World): remoe.StepState {
  const made = state(w);
  const sizes = { hidden: 4, experts: 3 };
  const router = w.layer(new remoe.TopKRouter(w.device, { ...sizes, active: 2 }));
  using layer = new remoe.MoE(w.device, { router, hidden: 4, width: 2, state: made });
  using _tape = w.device.record();
  layer.forward(w.device.ones([5, 4]));
  return made;
}

function demandRule(rule: unknown): asserts rule is remoe.LambdaRule {
  demand(typeof rule === "object" && rule !== null, "rule");
  const { active, tokens, alpha, floor, ceiling, adapt } = rule as remoe.LambdaRule;
  for (const value of [active, tokens, alpha, floor, ceiling]) {
    demand(Number.isFinite(Math.fround(value)) && typeof value === "number", "a number");
  }
  demand(active > 0 && active <= 3 && Number.isInteger(tokens) && tokens > 0, "active, tokens");
  demand(alpha >= 1 && floor >= 0 && ceiling >= floor, "alpha, bounds");
  demand(typeof adapt === "boolean", "adapt");
  const { rule: name = "sign", gain = 0, damping = 0 } = rule as remoe.LambdaRule;
  demand(["sign", "proportional"].includes(name), "rule");
  demandPositive({ gain, damping }, "gain", "damping");
}

const rules: readonly Entry[] = [
  {
    of: "StepState.writeInputs",
    make: (w) => [
      state(w),
      { learningRate: 1e-3, biasCorrection1: 0.5, biasCorrection2: 0.25, step: 3 },
    ],
    call: (made, inputs) => (made.writeInputs(inputs), inputsOf(made)),
    right: (_, inputs) => {
      demand(typeof inputs === "object" && inputs !== null, "inputs");
      const { learningRate, biasCorrection1, biasCorrection2, step } = inputs;
      demandPositive({ learningRate: learningRate ?? NaN }, "learningRate");
      for (const correction of [biasCorrection1, biasCorrection2]) {
        demand(correction > 0 && Math.fround(correction) < Infinity, "a bias correction");
      }
      demand(Number.isSafeInteger(step) && step >= 1, "step");
      return [learningRate, biasCorrection1, biasCorrection2, step];
    },
    object: true,
  },
  {
    of: "StepState.updateLambda",
    make: (w) => [
      routedState(w),
      {
        ...{ active: 0.5, tokens: 5, alpha: 2, floor: 1e-10, ceiling: 1e4, adapt: true },
        ...{ rule: "sign", gain: 0.1, damping: 0.2 },
      },
    ],
    call: (made, rule) => {
      made.updateLambda(rule);
      const { lambda, sparsity, activePairs } = made.read();
      return { lambda, sparsity, activePairs };
    },
    right: (_, rule) => {
      demandRule(rule);
      const { active, tokens, alpha, floor, ceiling } = rule;
      const [pairs, layers, experts] = [10, 2, 3];
      const moved = 0.25 * alpha ** Math.sign(pairs - active * layers * tokens);
      const lambda = rule.adapt ? Math.min(ceiling, Math.max(floor, moved)) : 0.25;
      return { lambda, sparsity: 1 - pairs / (layers * experts * tokens), activePairs: pairs };
    },
    object: true,
  },
  {
    of: "StepState.read",
    make: (w) => [routedState(w)],
    call: (made) => {
      const { layers, ...rest } = made.read();
      const counted = layers.map(({ counts, tokensWithoutExpert }: remoe.LayerRouting) => [
        counts.reduce((total: number, count: number) => total + count, 0),
        tokensWithoutExpert,
      ]);
      return { ...rest, layers: counted };
    },
    right: () => ({
      ...{ lambda: 0.25, sparsity: 0, activePairs: 0, gradientNorm: 0, clipScale: 0, loss: 0 },
      ...{
        notFinite: false,
        l1: 0,
        balance: 0,
        zLoss: null,
        overflow: false,
        layers: [[10, 0], [0, 0]],
      },
    }),
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
      // Adam's first step has the size of the learning rate, whatever the gradient's magnitude.
      const gradient = clip > 0 ? Math.min(1, clip / Math.SQRT2) : 1;
      const moved = 1 - lr * gradient / (gradient + epsilon);
      return { steps: 1, values: [moved, moved] };
    },
  },
];

const CONSTANTS = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };
const RATE = 0.05;
const SHAPES = [[2, 2], [3]];
/** A gradient's numbers. */
const SLOPE = 0.5;

/** An optimizer after one step, with the next gradient in place. */
function stepped(w: World): remoe.AdamW {
  const list = SHAPES.map((shape) => w.using(w.device.parameter(shape)));
  for (const parameter of list) remoe.write(parameter, weights(parameter.shape));
  const optimizer = w.using(new remoe.AdamW(w.device, list, { ...CONSTANTS, lr: RATE, clip: 1 }));
  backward(w, list);
  optimizer.step();
  backward(w, list);
  return optimizer;
}

function backward({ device }: World, list: readonly remoe.Parameter[]): void {
  using tape = device.record();
  const [first, second] = list.map((parameter) => remoe.scale(remoe.sum(parameter), SLOPE));
  tape.backward(remoe.add(first!, second!));
}

/** Weights and moments after steps at these rates. */
function afterSteps(...rates: readonly number[]): (AdamWState & { shape: readonly number[] })[] {
  const count = SHAPES.reduce((sum, shape) => sum + weights(shape).length, 0);
  const clip = Math.min(1, 1 / (SLOPE * Math.sqrt(count)));
  return SHAPES.map((shape) => {
    const master = Float64Array.from(weights(shape));
    const { length } = master;
    const state = { master, moment1: new Float64Array(length), moment2: new Float64Array(length) };
    const gradient = new Float64Array(length).fill(SLOPE);
    const weightDecay = shape.length > 1 ? CONSTANTS.weightDecay : 0;
    rates.forEach((rate, i) =>
      adamwStep(state, gradient, i + 1, rate, clip, { ...CONSTANTS, weightDecay })
    );
    return { ...state, shape };
  });
}

/** What `moments()` gives after steps at these rates. */
function rightMoments(...rates: readonly number[]) {
  return afterSteps(...rates).map(({ shape, master, moment1, moment2 }) => ({
    parameter: f32(shape, master),
    first: f32(shape, moment1),
    second: f32(shape, moment2),
  }));
}

const steps: readonly Entry[] = [
  {
    of: "AdamW.step",
    make: (w) => [stepped(w), 0.1],
    call: (optimizer, rate) => {
      optimizer.lr = rate;
      optimizer.step();
      return optimizer.moments();
    },
    right: (_, rate) => {
      demand(typeof rate === "number" && Number.isFinite(Math.fround(rate)) && rate >= 0, "rate");
      return rightMoments(RATE, rate);
    },
    object: true,
  },
  {
    of: "AdamW.moments",
    make: (w) => [stepped(w)],
    call: (optimizer) => optimizer.moments(),
    right: () => rightMoments(RATE),
    object: true,
  },
  {
    of: "AdamW.zeroGradient",
    make: (w) => [stepped(w)],
    call: (optimizer) => {
      optimizer.zeroGradient();
      return optimizer.moments().map(({ parameter }: remoe.Moments) => parameter.gradient);
    },
    right: () => SHAPES.map((shape) => f32(shape, new Float64Array(weights(shape).length))),
    object: true,
  },
  {
    of: "AdamW.resumeAt",
    make: (w) => [stepped(w), 100],
    call: (optimizer, count) => (optimizer.resumeAt(count), optimizer.steps),
    right: (_, count) => {
      demand(Number.isSafeInteger(count) && count >= 0, "steps");
      return count;
    },
    object: true,
  },
];

/** States and optimizers. */
export const optimizerEntries: readonly Entry[] = [...states, ...rules, ...optimizers, ...steps];
