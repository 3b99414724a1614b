/** The gradients of one backward pass. @module */

import type { Gradients, GradientTarget } from "../tensor/recorder.ts";
import type { MemoryScope } from "../tensor/scope.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate, copyInto, fill } from "../tensor/transfer.ts";

/** Which tensors a gradient flows to, and where the pass puts it. */
export interface BackwardPassOptions {
  /** What the loss was multiplied by. */
  readonly scale: number;
  /** Where gradients live that nobody else has a place for. */
  readonly scope: MemoryScope;
  /** Whether a gradient flows to a tensor. */
  readonly isTracked: (tensor: DeviceTensor) => boolean;
}

/**
 * The gradients of one backward pass, as operations see them.
 *
 * A gradient may be that of several tensors at once: y = a + b has dy = da = db. It is copied only
 * when one of them is added to while another still holds it, which residual connections never do.
 */
export class BackwardPass implements Gradients {
  readonly #gradients: Map<DeviceTensor, DeviceTensor<"f32">> = new Map();
  /** How many hold a gradient, where it is not one. */
  readonly #holders: Map<DeviceTensor, number> = new Map();

  /**
   * Begins with the gradient that has reached `root`. It stays its owner's: neither written to nor
   * freed.
   */
  constructor(
    root: DeviceTensor,
    gradient: DeviceTensor<"f32">,
    private readonly options: BackwardPassOptions,
  ) {
    this.#gradients.set(root, gradient);
    this.#holders.set(gradient, 2);
  }

  get scale(): number {
    return this.options.scale;
  }

  of(output: DeviceTensor): DeviceTensor<"f32"> | null {
    return this.#gradients.get(output) ?? null;
  }

  into(input: DeviceTensor): GradientTarget | null {
    if (!this.options.isTracked(input)) return null;
    const own = input.gradientTarget();
    if (own !== null) return own;
    if (this.#gradients.has(input)) return { tensor: this.ownedBy(input), accumulate: 1 };
    return { tensor: this.#allocate(input), accumulate: 0 };
  }

  add(input: DeviceTensor, gradient: DeviceTensor<"f32">): void {
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

  /** The gradient of a tensor, which no other tensor holds: copied where one did. */
  ownedBy(tensor: DeviceTensor): DeviceTensor<"f32"> {
    const gradient = this.#gradients.get(tensor)!;
    if (this.#holdersOf(gradient) === 1) return gradient;
    const copy = this.#allocate(tensor);
    copyInto(copy, gradient);
    this.#letGo(gradient);
    return copy;
  }

  /** Frees the gradient of a tensor, unless others hold it. */
  release(tensor: DeviceTensor): void {
    const gradient = this.#gradients.get(tensor);
    if (gradient === undefined) return;
    this.#gradients.delete(tensor);
    this.#letGo(gradient);
  }

  #allocate(tensor: DeviceTensor): DeviceTensor<"f32"> {
    const gradient = tensor.memory.allocateIn(this.options.scope, "f32", tensor.shape);
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
