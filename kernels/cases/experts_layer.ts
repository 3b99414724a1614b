import { type DispatchOptions, drawGates } from "./dispatch_plan.ts";
import { Random } from "./random.ts";
import { type DispatchPlan, dispatchPlan, planBuffer } from "./reference/dispatch_plan.ts";
import { type ExpertSizes, preActivations } from "./reference/experts.ts";
import { activations, type Real } from "./stored.ts";

/** Sizes and routing of a layer of experts. */
export interface ExpertsOptions extends ExpertSizes, DispatchOptions {
  /** Makes every gate 1 and routes every token: with one expert, a dense feed-forward network. */
  readonly dense?: boolean;
  /** Rows whose pre-activations are kept, at most the capacity; by default all. */
  readonly kept?: number;
  /** Rounds every input to bfloat16, and leaves it in fp32. */
  readonly bf16?: boolean;
  /** Element type of the activations and weights, fp32 by default. */
  readonly dtype?: Real;
}

/** A layer's routing, drawn before its case exists since the capacity is part of the call. */
export interface LayerRouting {
  /** Gates [T, E]. */
  readonly gates: Float32Array<ArrayBuffer>;
  /** Their plan. */
  readonly plan: DispatchPlan;
  /** The plan in the contract's layout. */
  readonly buffer: Int32Array<ArrayBuffer>;
  /** The plan's capacity in rows. */
  readonly capacity: number;
  /** Rows whose pre-activations are kept. */
  readonly kept: number;
}

/**
 * Draws the routing of a case: the same one on every call.
 *
 * @param operation `experts_forward` or `experts_gradient`.
 * @param options Sizes and density.
 * @returns Gates and plan.
 */
export function expertsRouting(operation: string, options: ExpertsOptions): LayerRouting {
  const { tokens, experts, dense, spare = 0 } = options;
  const gates = dense
    ? new Float32Array(tokens * experts).fill(1)
    : drawGates(new Random(`${baseName(operation, options)} gates`), options);
  const plan = dispatchPlan(gates, tokens, experts);
  const capacity = Math.max(1, plan.rows + spare);
  return {
    gates,
    plan,
    buffer: planBuffer(plan, capacity),
    capacity,
    kept: options.kept ?? capacity,
  };
}

export function expertsName(operation: string, options: ExpertsOptions): string {
  return `${baseName(operation, options)}${activations(options.dtype).suffix}`;
}

/** The name without the dtype: a case in either has the same routing. */
function baseName(operation: string, options: ExpertsOptions): string {
  const { tokens, hidden, width, density, dense, emptyExpert, spare = 0 } = options;
  return [
    `${operation} [${tokens},${hidden}] E=${options.experts} W=${width}`,
    dense ? "dense" : `density ${density}`,
    emptyExpert === undefined ? "" : `expert ${emptyExpert} empty`,
    spare === 0 ? "" : `spare ${spare}`,
    options.kept === undefined ? "" : `kept ${options.kept}`,
    options.bf16 ? "bf16-rounded" : "",
  ].filter((part) => part !== "").join(" ");
}

/** Inputs and weights scaled so that activations stay near 1, as initialisation aims for. */
export function drawLayer(random: Random, options: ExpertsOptions) {
  const { tokens, hidden, width, experts, bf16 = false } = options;
  const { store } = activations(options.dtype);
  return {
    x: store(random.normal(tokens * hidden, { bf16 })),
    w1: store(random.normal(experts * hidden * 2 * width, { scale: 1 / Math.sqrt(hidden), bf16 })),
    w2: store(random.normal(experts * width * hidden, { scale: 1 / Math.sqrt(width), bf16 })),
  };
}

/** Pre-activations of every row of a plan, [N, 2 W]. */
export function rowsOfH(
  x: Float64Array,
  w1: Float64Array,
  { rowToken, expertOffset }: DispatchPlan,
  sizes: ExpertSizes,
): Float64Array {
  const h = new Float64Array(rowToken.length * 2 * sizes.width);
  for (let e = 0; e < sizes.experts; e++) {
    for (let row = expertOffset[e]!; row < expertOffset[e + 1]!; row++) {
      h.set(preActivations(x, w1, rowToken[row]!, e, sizes), row * 2 * sizes.width);
    }
  }
  return h;
}
