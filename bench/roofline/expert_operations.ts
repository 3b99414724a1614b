/** The fused MoE operation at the paper's sizes. @module */

import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
  expertsRouting,
} from "../../kernels/cases/experts.ts";
import { swigluCase, swigluGradientCase } from "../../kernels/cases/swiglu.ts";
import { bf16, type Bound, f32, type Operation, operation } from "./operation.ts";

const HIDDEN = 768;

interface Layer extends Pick<ExpertsOptions, "experts" | "width" | "tokens"> {
  readonly name: string;
  readonly active: number;
  readonly bound: Bound;
  readonly timed?: string;
}

/** The paper's default layer and a fine-grained one on fewer tokens; of 128 experts, an eighth. */
const LAYERS: readonly Layer[] = [
  {
    ...{ name: "T 4096, E 8, W 3072", tokens: 4096, experts: 8, width: 3072, active: 1 },
    ...{ bound: "compute", timed: "d 768, W 3072, E 8" },
  },
  {
    ...{ name: "T 4096, E 64, W 384, 8 active", tokens: 4096, experts: 64, width: 384, active: 8 },
    bound: "compute",
  },
  {
    ...{ name: "T 16384, E 128, W 384", tokens: 16384, experts: 128, width: 384, active: 1 },
    bound: "memory",
  },
];

/**
 * Lists the calls of the experts, and SwiGLU alone.
 *
 * @returns The operations.
 */
export function expertOperations(): Operation[] {
  const rows = 4096;
  const width = 3072;
  return [
    ...LAYERS.flatMap(layerOperations),
    operation({
      ...{ group: "Experts", name: "swiglu_forward", timed: "swiglu forward" },
      kernelCase: swigluCase(rows, width, "bf16"),
      inputs: { h: bf16(rows, 2 * width) },
    }),
    operation({
      ...{ group: "Experts", name: "swiglu_gradient", timed: "swiglu gradient" },
      kernelCase: swigluGradientCase(rows, width, "bf16"),
      inputs: { h: bf16(rows, 2 * width), da: bf16(rows, width) },
    }),
  ];
}

function layerOperations({ name, active, bound, timed, ...layer }: Layer): Operation[] {
  const { experts, width, tokens } = layer;
  const density = active / experts;
  const options: ExpertsOptions = {
    ...layer,
    ...{ hidden: HIDDEN, density, dtype: "bf16" },
  };
  const forward = expertsRouting("experts_forward", options);
  const backward = expertsRouting("experts_gradient", options);
  const weights = {
    x: bf16(tokens, HIDDEN),
    w1: bf16(experts, HIDDEN, 2 * width),
    w2: bf16(experts, width, HIDDEN),
  };
  return [
    operation({
      ...{ group: "Experts", name: `experts_forward, ${name}`, bound },
      kernelCase: expertsCase(options),
      inputs: { ...weights, gates: forward.gates, plan: forward.buffer },
      minimum: forwardBytes(forward.plan.rows, options),
      operations: 6 * forward.plan.rows * HIDDEN * width,
      ...timed === undefined ? {} : { timed: `experts forward ${timed}` },
    }),
    operation({
      ...{ group: "Experts", name: `experts_gradient, ${name}`, bound },
      kernelCase: expertsGradientCase(options),
      inputs: {
        ...weights,
        gates: backward.gates,
        plan: backward.buffer,
        dy: bf16(tokens, HIDDEN),
        h: bf16(backward.capacity, 2 * width),
      },
      minimum: gradientBytes(backward.plan.rows, options),
      operations: 12 * backward.plan.rows * HIDDEN * width,
      ...timed === undefined ? {} : { timed: `experts gradient ${timed}` },
    }),
  ];
}

/** Each of the three kernels reads and writes its tensors once: both products, then the combine. */
function forwardBytes(rows: number, { tokens, hidden, width, experts }: ExpertsOptions): number {
  const first = bf16(rows, hidden) + bf16(experts, hidden, 2 * width) + bf16(rows, 3 * width);
  const second = bf16(rows, width) + bf16(experts, width, hidden) + bf16(rows, hidden);
  return first + second + combineBytes(rows, tokens, hidden);
}

/** Rows into tokens, with the rows of each. */
function combineBytes(rows: number, tokens: number, hidden: number): number {
  return bf16(rows, hidden) + bf16(tokens, hidden) + 4 * (rows + tokens);
}

/** dA with the gradient of SwiGLU, dW2, dX by row, dW1, and the sum over the rows of a token. */
function gradientBytes(rows: number, { tokens, hidden, width, experts }: ExpertsOptions): number {
  const w1 = [experts, hidden, 2 * width];
  const w2 = [experts, width, hidden];
  const dA = bf16(rows, hidden) + bf16(...w2) + bf16(rows, 5 * width);
  const dW2 = bf16(rows, width) + bf16(rows, hidden) + f32(...w2);
  const dRows = bf16(rows, 2 * width) + bf16(...w1) + bf16(rows, hidden);
  const dW1 = bf16(rows, hidden) + bf16(rows, 2 * width) + f32(...w1);
  return dA + dW2 + dRows + dW1 + combineBytes(rows, tokens, hidden);
}
