/** One MoE layer, forward and backward. @module */

import { BASE } from "../../lib/config/presets.ts";
import { type Device, mean, MoE, StepState, type Tensor } from "../../mod.ts";
import { executedFlops } from "../../lib/train/mod.ts";
import type { Work } from "../harness/case.ts";
import { type Aim, AimedRouter } from "./aimed_router.ts";

/** Sizes and routing of a layer. */
export interface LayerOptions extends Aim {
  readonly tokens: number;
  readonly hidden: number;
  /** Width of one expert. */
  readonly width: number;
  readonly experts: number;
  /** Target number of experts per token. */
  readonly active: number;
}

/** The part of a layer to time. */
export type Pass = "forward" | "forward and backward";

/** An MoE layer with its input. */
export class BenchLayer implements Disposable {
  readonly #device: Device;
  readonly #router: AimedRouter;
  readonly #state: StepState;
  readonly #layer: MoE;
  readonly #x: Tensor<"f32", readonly [number, number]>;

  /**
   * Makes the layer and aims its router.
   *
   * @param device The device.
   * @param options Sizes and routing.
   */
  constructor(device: Device, options: LayerOptions) {
    const { tokens, hidden, width, experts, active } = options;
    this.#device = device;
    this.#x = device.normal([tokens, hidden], { mean: 1 });
    this.#state = new StepState(device, { experts });
    this.#router = new AimedRouter(device, options, {
      ...{ hidden, experts, active, layers: 1, layer: 0, name: "gate.weight" },
      deviation: 0.01 * Math.sqrt(768 / hidden),
      state: this.#state,
    }, BASE.moe);
    this.#layer = new MoE(device, { router: this.#router, hidden, width });
    this.forward();
  }

  /** The number of rows that the layer routes, by its router's counts. */
  async rows(): Promise<number> {
    using _scope = this.#device.scope();
    const sparsity = await this.#layer.forward(this.#x).routing.sparsity();
    return Math.round((1 - sparsity) * this.#x.shape[0] * this.#router.experts);
  }

  forward(): void {
    using _scope = this.#device.scope();
    this.#layer.forward(this.#x);
  }

  /** Computes gradients of input, router and experts; each call overwrites the previous ones. */
  forwardAndBackward(): void {
    using tape = this.#device.record();
    tape.backward(mean(this.#layer.forward(tape.watch(this.#x)).output));
    for (const parameter of this.#layer.parameters()) parameter.zeroGradient();
  }

  run(pass: Pass): void {
    if (pass === "forward") this.forward();
    else this.forwardAndBackward();
  }

  [Symbol.dispose](): void {
    this.#layer[Symbol.dispose]();
    this.#router[Symbol.dispose]();
    this.#state[Symbol.dispose]();
    this.#x[Symbol.dispose]();
  }
}

/**
 * Counts what a layer executes, the products of router and experts; and the bytes of its
 * parameters, input, output and pre-activations, each as often as a kernel must read or write it.
 *
 * @param options Sizes and routing.
 * @param pass What is timed.
 * @returns FLOPs and bytes.
 */
export function layerWork(options: LayerOptions, pass: Pass): Work {
  const { tokens, hidden, width, experts, density } = options;
  const rows = experts * Math.round(density * tokens);
  const { routers, experts: products } = executedFlops(
    { layers: 1, hidden, heads: 1, groups: 1, ffn: width, vocabulary: 0 },
    { router: options.router, experts, granularity: 1 },
    { sequences: tokens, sequence: 1, rows: [rows] },
  );
  const all = routers + products;
  const weights = hidden * experts + 3 * experts * hidden * width;
  const states = tokens * hidden;
  // Forward, router and experts read x, and the experts write y. Backward, dy and x are read, and
  // dx is written by the experts and added to by the router. Weights are read in both, and their
  // gradient is written.
  const forward = weights + 3 * states;
  const backward = 2 * weights + 6 * states + 2 * (rows * 2 * width);
  return pass === "forward"
    ? { flops: all / 3, bytes: 4 * forward }
    : { flops: all, bytes: 4 * (forward + backward) };
}
