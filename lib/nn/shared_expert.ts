/** The network of an MoE layer that every token uses. @module */

import { multiply } from "../autograd/arithmetic.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { cast } from "../autograd/layout.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { product } from "../autograd/matmul.ts";
import { type Parameter, ParameterTensor } from "../autograd/parameter.ts";
import { sigmoid } from "../autograd/unary.ts";
import type { Real } from "../tensor/dtype.ts";
import { realOperand } from "../tensor/operands.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { FeedForward } from "./feed_forward.ts";

/** Sizes and initialisation of a {@linkcode SharedExpert}. */
export interface SharedExpertOptions<R extends Real> {
  readonly hidden: number;
  readonly width: number;
  /** Whether a token's output is multiplied by sigmoid(x · w), as in Qwen2-MoE. */
  readonly gated: boolean;
  readonly deviation: number;
  readonly outputDeviation: number;
  /** Prefix of the weights' names. */
  readonly name: string;
  readonly dtype: R;
}

/** A SwiGLU network, and the gate of its output if it has one. */
export class SharedExpert<R extends Real> implements Disposable {
  readonly #network: FeedForward<R>;
  readonly #gate: ParameterTensor<readonly [number, number]> | null;
  readonly #dtype: R;
  readonly #owned: DisposableStack;

  /** Creates an expert with random weights. */
  constructor(device: Device, { gated, ...options }: SharedExpertOptions<R>) {
    const { hidden, deviation, name, dtype } = options;
    this.#dtype = dtype;
    using made = new DisposableStack();
    this.#network = made.use(
      new FeedForward<R>(device, { ...options, name: `${name}.shared_expert` }),
    );
    this.#gate = null;
    if (gated) {
      // As a router's, and as its gates are, the weights are read in fp32.
      const weight = `${name}.shared_expert_gate.weight`;
      this.#gate = made.use(ParameterTensor.make(memoryOf(device), weight, [hidden, 1], true));
      fillNormal(this.#gate, 0, deviation);
    }
    this.#owned = made.move();
  }

  /** Runs the network on each row of `[T, hidden]`. */
  forward<T extends number>(
    x: Tensor<R, readonly [T, number]>,
  ): Tensor<R, readonly [T, number]> {
    const output = this.#network.forward(x);
    if (this.#gate === null) return output;
    const logit = product(realOperand("gate a shared expert by", x), this.#gate, "f32");
    const gate = sigmoid<readonly number[], "f32">(logit);
    const factor = this.#dtype === "f32" ? gate : cast(gate, this.#dtype);
    return multiply(
      output as Tensor<R>,
      factor as Tensor as Tensor<R>,
    ) as Tensor as Tensor<R, readonly [T, number]>;
  }

  /** The network's weights, then the gate's. */
  *parameters(): Iterable<Parameter> {
    yield* this.#network.parameters();
    if (this.#gate !== null) yield this.#gate;
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
