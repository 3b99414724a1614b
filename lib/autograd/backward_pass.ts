/** Gradients during a backward pass. @module */

import type { Gradient, Gradients, GradientTarget } from "../tensor/recorder.ts";
import type { MemoryScope } from "../tensor/scope.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate, copyInto, fill } from "../tensor/transfer.ts";

/** Settings of a backward pass. */
export interface BackwardPassOptions {
  /** Factor on the loss. */
  readonly scale: number;
  /** Scope for gradients that have no memory yet. */
  readonly scope: MemoryScope;
  /** Whether a tensor needs a gradient. */
  readonly isTracked: (tensor: DeviceTensor) => boolean;
}

/**
 * Holds the gradients of one backward pass.
 *
 * Several tensors may share one gradient: y = a + b has dy = da = db. It is copied only if
 * something is added for one of them while another still holds it, which residual connections never
 * cause.
 */
export class BackwardPass implements Gradients {
  readonly #gradients: Map<DeviceTensor, Gradient> = new Map();
  /** Number of holders of a gradient, if not 1. */
  readonly #holders: Map<DeviceTensor, number> = new Map();

  /** Starts from the gradient of `root`, which is neither written nor freed here. */
  constructor(
    root: DeviceTensor,
    gradient: Gradient,
    private readonly options: BackwardPassOptions,
  ) {
    this.#gradients.set(root, gradient);
    this.#holders.set(gradient, 2);
  }

  get scale(): number {
    return this.options.scale;
  }

  of(output: DeviceTensor): Gradient | null {
    return this.#gradients.get(output) ?? null;
  }

  into(input: DeviceTensor): GradientTarget | null {
    if (!this.options.isTracked(input)) return null;
    const own = input.gradientTarget();
    if (own !== null) return own;
    if (this.#gradients.has(input)) return { tensor: this.ownedBy(input), accumulate: 1 };
    return { tensor: this.#allocate(input), accumulate: 0 };
  }

  add(input: DeviceTensor, gradient: Gradient): void {
    const target = this.into(input);
    if (target === null) return;
    if (target.accumulate === 0) fill(target.tensor, 0);
    accumulate(target.tensor, gradient, 1);
  }

  share(output: DeviceTensor, input: DeviceTensor): void {
    const gradient = this.#gradients.get(output);
    if (gradient === undefined || !this.options.isTracked(input)) return;
    if (this.#gradients.has(input)) return accumulate(this.ownedBy(input), gradient, 1);
    const own = input.gradientTarget();
    if (own === null) {
      this.#gradients.set(input, gradient);
      this.#holders.set(gradient, this.#holdersOf(gradient) + 1);
    } else if (own.accumulate === 1) {
      accumulate(own.tensor, gradient, 1);
    } else {
      copyInto(own.tensor, gradient);
    }
  }

  /** The gradient of a tensor for it alone: a copy if other tensors hold it too. */
  ownedBy(tensor: DeviceTensor): Gradient {
    const gradient = this.#gradients.get(tensor)!;
    if (this.#holdersOf(gradient) === 1) return gradient;
    const copy = this.#allocate(tensor);
    copyInto(copy, gradient);
    this.#letGo(gradient);
    return copy;
  }

  /** Frees the gradient of a tensor, unless other tensors hold it. */
  release(tensor: DeviceTensor): void {
    const gradient = this.#gradients.get(tensor);
    if (gradient === undefined) return;
    this.#gradients.delete(tensor);
    this.#letGo(gradient);
  }

  #allocate(tensor: DeviceTensor): Gradient {
    const { memory, gradientDtype, shape } = tensor;
    const gradient = memory.allocateIn(this.options.scope, gradientDtype, shape);
    this.#gradients.set(tensor, gradient);
    return gradient;
  }

  #holdersOf(gradient: DeviceTensor): number {
    return this.#holders.get(gradient) ?? 1;
  }

  #letGo(gradient: DeviceTensor): void {
    const left = this.#holdersOf(gradient) - 1;
    if (left > 0) {
      this.#holders.set(gradient, left);
    } else {
      this.#holders.delete(gradient);
      gradient[Symbol.dispose]();
    }
  }
}
