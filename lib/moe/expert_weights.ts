/** The experts of a layer: settings and weights, alike whether tokens or segments are routed. @module */

import { requireFunction, requireText, requireWhole, shown } from "../arguments.ts";
import { computeType } from "../autograd/compute_type.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { initialDeviation } from "../autograd/distributions.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { requireStateOn, type StepState } from "../autograd/step_state.ts";
import { ConfigError } from "../errors.ts";
import { requireNumbers, requireSizes } from "../settings.ts";
import type { Real } from "../tensor/dtype.ts";
import { type KeptRows, keptRowsOf } from "./kept_rows.ts";
import type { MoEOptions } from "./moe_options.ts";

/** The experts' weights, and where the layer records its routing. */
export interface ExpertWeights<R extends Real> {
  /** `[E, hidden, 2 · width]`, gate and up projections. */
  readonly w1: ParameterTensor<readonly [number, number, number]>;
  /** `[E, width, hidden]`, down projections. */
  readonly w2: ParameterTensor<readonly [number, number, number]>;
  /** The type that the experts compute in. */
  readonly dtype: R;
  readonly kept: KeptRows;
  readonly state: StepState | null;
  readonly layer: number;
  /** Frees the weights. */
  readonly owned: DisposableStack;
}

/** The parts of a router that every kind of layer calls. */
interface LayerRouter {
  readonly hidden: number;
  readonly experts: number;
  parameters(): Iterable<Parameter>;
  buffers?(): Iterable<Parameter>;
  afterStep?(counts: readonly number[]): void;
}

/** Which copies of the experts' weights a layer reads. */
type Copies = "experts" | "none";

/**
 * Checks a layer's options, and creates its experts with random weights.
 *
 * @param build The action, worded to follow "Cannot".
 * @param device The layer's device.
 * @param router The router, whose own method has been checked.
 * @param options Sizes and initialisation.
 * @param bounds Products of the sizes that must be sizes as well, by name.
 * @param copies Whether products read the weights themselves, and in bf16 need copies of them.
 * @throws {ConfigError} If sizes do not match the router's or the state's, or are out of range.
 */
export function createExperts<R extends Real>(
  build: string,
  device: Device,
  router: LayerRouter,
  options: Omit<MoEOptions<number, number, R>, "router">,
  bounds: (hidden: number, width: number) => Readonly<Record<string, number>>,
  copies: Copies,
): ExpertWeights<R> {
  const dtype = computeType(build, options.dtype);
  const { hidden, width, state = null, layer = 0, name = "experts" } = options;
  requireFunction(build, "router.parameters", router.parameters);
  for (const method of ["buffers", "afterStep"] as const) {
    if (router[method] !== undefined) requireFunction(build, `router.${method}`, router[method]);
  }
  // Read once: a getter may return something else the next time.
  const { experts, hidden: routed } = router;
  requireSizes(build, { hidden, width, "router.experts": experts });
  requireSizes(build, bounds(hidden, width));
  const { deviation = initialDeviation(hidden), kept = { rows: Infinity } } = options;
  const { outputDeviation = deviation / Math.SQRT2 } = options;
  requireText(build, "name", name);
  requireNumbers(build, { deviation, outputDeviation }, { least: 0 });
  requireWhole(build, "layer", layer);
  keptRowsOf(build, kept);
  if (routed !== hidden) {
    throw new ConfigError(
      `Cannot ${build} of hidden size ${hidden} with a router of hidden size ${shown(routed)}`,
    );
  }
  const memory = memoryOf(device);
  if (state !== null) {
    requireStateOn("record routing in", memory, state);
    requireRecord(state, layer, experts);
  }
  using made = new DisposableStack();
  const readAs = copies === "none" ? "f32" : dtype;
  const weight = (part: string, rows: number, columns: number) => {
    const shape = [experts, rows, columns] as const;
    return made.use(ParameterTensor.make(memory, `${name}.${part}`, shape, true, readAs));
  };
  const w1 = weight("w1", hidden, 2 * width);
  const w2 = weight("w2", width, hidden);
  fillNormal(w1, 0, deviation);
  fillNormal(w2, 0, outputDeviation);
  return { w1, w2, dtype, kept, state, layer, owned: made.move() };
}

function requireRecord(state: StepState, layer: number, experts: number): void {
  if (state.experts === experts && layer < state.layers) return;
  throw new ConfigError(
    `Cannot keep the statistics of layer ${layer} with ${experts} experts in a state of ` +
      `${state.layers} layers and ${state.experts} experts`,
  );
}
