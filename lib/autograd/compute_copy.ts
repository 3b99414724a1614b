/** Copies of parameters in the type that products read. @module */

import type { GradientTarget } from "../tensor/recorder.ts";
import type { Shape } from "../tensor/shape.ts";
import { DeviceTensor } from "../tensor/tensor.ts";
import { castInto } from "../tensor/transfer.ts";

/**
 * The bf16 copy of a parameter, which keeps the fp32 values. Products read the copy, and their
 * gradient goes to the parameter, in fp32. Whatever writes to the parameter counts the write, by
 * which the copy notices that it is out of date; the optimizer rounds into it as it updates.
 */
export class ComputeCopy<S extends Shape = Shape> extends DeviceTensor<"bf16", S> {
  /** The version of the parameter that it holds; null before the first. */
  #held: number | null = null;

  private constructor(of: DeviceTensor<"bf16", S>, readonly master: DeviceTensor<"f32", S>) {
    super(of.memory, "bf16", of, of.storage, true);
    of.storage.isLeaf = true;
    Object.preventExtensions(this);
  }

  /** Allocates a copy, to be refreshed before it is read. */
  static of<S extends Shape>(master: DeviceTensor<"f32", S>): ComputeCopy<S> {
    const owner = `the bf16 copy of ${master.described()}`;
    const tensor = master.memory.allocateAtRoot("bf16", master.shape, owner);
    return new ComputeCopy(tensor, master);
  }

  /** Rounds the parameter again if it was written since. */
  refresh(): void {
    if (this.#held === this.master.version) return;
    castInto(this, this.master);
    this.follow();
  }

  /** Notes that it holds what the parameter holds now. */
  follow(): void {
    this.#held = this.master.version;
  }

  /** That of the parameter: a tape that saved the copy must notice what becomes of either. */
  override get version(): number {
    return this.master.version;
  }

  override gradientTarget(): GradientTarget | null {
    return this.master.gradientTarget();
  }
}
