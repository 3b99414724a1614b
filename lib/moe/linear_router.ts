/** Weights, buffers and gradients shared by the routers with logits `x W`. @module */

import type { OptionNames } from "../arguments.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { gemm } from "../autograd/matmul.ts";
import { ParameterTensor } from "../autograd/parameter.ts";
import { scale } from "../autograd/unary.ts";
import { ConfigError } from "../errors.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { Real } from "../tensor/dtype.ts";
import { operands, real, unwrapped } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { requireStates } from "./router_input.ts";
import type { RouterPlace } from "./router_row.ts";
import { allocateMask } from "./routing_mask.ts";

/** The names in a place. Each router accepts all of them, so callers can pass `{ ...place }`. */
export const PLACE_NAMES: OptionNames<RouterPlace> = {
  hidden: true,
  experts: true,
  active: true,
  layers: true,
  layer: true,
  deviation: true,
  name: true,
  state: true,
};

/** Weights `[hidden, experts]` of a router; their shape is where it keeps its sizes. */
export type RouterWeight<H extends number, E extends number> = ParameterTensor<readonly [H, E]>;

/** Creates normally distributed weights with mean 0. */
export function makeRouterWeight<H extends number, E extends number>(
  memory: DeviceMemory,
  name: string,
  shape: readonly [H, E],
  deviation: number,
): RouterWeight<H, E> {
  using made = new DisposableStack();
  const weight = made.use(ParameterTensor.make(memory, name, shape, true));
  fillNormal(weight, 0, deviation);
  made.move();
  return weight;
}

/**
 * Refuses a number of experts per token that a router with a fixed number cannot have.
 *
 * @param verb What the router does, to follow "Cannot".
 * @param active Experts per token, k.
 * @param experts Experts of the layer, E.
 * @throws {ConfigError} If k is not an integer from 1 to E.
 */
export function requireActive(verb: "choose" | "draw", active: number, experts: number): void {
  if (Number.isInteger(active) && active >= 1 && active <= experts) return;
  throw new ConfigError(
    `Cannot ${verb} ${active} of ${experts} experts: active must be an integer from 1 to experts`,
  );
}

/** The gates times a constant, recorded; the gates themselves if it is 1. */
export function scaledGates<T extends number, E extends number>(
  gates: DeviceTensor<"f32", readonly [T, E]>,
  factor: number,
): DeviceTensor<"f32", readonly [T, E]> {
  return factor === 1 ? gates : unwrapped(scale(gates, factor));
}

/** Checked hidden states and the buffers that every router's kernel writes. */
export interface RouterBuffers<T extends number, E extends number> {
  readonly states: DeviceTensor<Real>;
  readonly gates: DeviceTensor<"f32", readonly [T, E]>;
  /** The routed pairs, one bit each. */
  readonly mask: DeviceTensor<"i32">;
  /** Tokens per expert. */
  readonly counts: DeviceTensor<"i32", readonly [E]>;
}

/** Checks the hidden states and allocates the buffers. */
export function routerBuffers<T extends number, H extends number, E extends number>(
  operation: string,
  x: Tensor<Real, readonly [T, H]>,
  weight: RouterWeight<H, E>,
): RouterBuffers<T, E> {
  const [states] = operands(
    `${operation} with`,
    real<Tensor<Real, readonly [number, number]>>(x),
    weight,
  );
  const [hidden, experts] = weight.shape;
  requireStates(operation, states, hidden, weight);
  const { memory, shape: [tokens] } = states;
  return {
    states,
    gates: memory.allocate("f32", [tokens as T, experts] as const),
    mask: allocateMask(memory, tokens, experts),
    counts: memory.allocate("i32", [experts] as const),
  };
}

/** A buffer for each expert's sum over tokens of its gates or probabilities. */
export function sumsBuffer<E extends number>(
  { memory, shape: [, experts] }: DeviceTensor<"f32", readonly [number, E]>,
): DeviceTensor<"f32", readonly [E]> {
  return memory.allocate("f32", [experts] as const);
}

/**
 * Records a linear router on the tape. `toLogits` turns the gradient of the gates into that of the
 * logits and adds the gradient of the router's regularisation, multiplied by `scale` like the loss.
 * From logits = x W follow dx = dlogits W^T and dW = x^T dlogits: products of fp32 with x, which may
 * be bf16, into gradients of either type.
 */
export function recordLinearRouter(
  operation: string,
  x: DeviceTensor,
  weight: ParameterTensor,
  gates: DeviceTensor,
  saved: readonly DeviceTensor[],
  toLogits: (dlogits: DeviceTensor, dgates: DeviceTensor, scale: number) => void,
): void {
  const [tokens = 0, experts = 0] = gates.shape;
  const hidden = x.size / tokens;
  recordNode({
    operation,
    inputs: [x, weight],
    outputs: [gates],
    saved: [x, gates, ...saved],
    backward(gradients) {
      const dgates = gradients.of(gates);
      if (dgates === null) return;
      const dlogits = x.memory.allocate("f32", gates.shape);
      toLogits(dlogits, dgates, gradients.scale);
      const dx = gradients.into(x);
      if (dx) {
        gemm(dx.tensor, dlogits, weight, {
          transposeB: true,
          m: tokens,
          n: hidden,
          k: experts,
          beta: dx.accumulate,
        });
      }
      const dw = gradients.into(weight);
      if (dw) {
        gemm(dw.tensor, x, dlogits, {
          transposeA: true,
          m: hidden,
          n: experts,
          k: tokens,
          beta: dw.accumulate,
        });
      }
    },
  });
}
