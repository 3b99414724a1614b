/** The tape: records operations forward and runs their derivatives backward. @module */

import { requireFinite, requireOptions } from "../arguments.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { showsItself } from "../tensor/display.ts";
import { type DType, type GradientType, gradientType } from "../tensor/dtype.ts";
import { operands, requireDevice, typed } from "../tensor/operands.ts";
import type { Gradient, OperationObserver, Recorder, TapeNode } from "../tensor/recorder.ts";
import { MemoryScope, type Scope } from "../tensor/scope.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { fill } from "../tensor/transfer.ts";
import { BackwardPass } from "./backward_pass.ts";
import { isParameter, parameterOf } from "./parameter.ts";

/** Element types through which a gradient flows. */
const DIFFERENTIABLE: readonly DType[] = ["f32", "bf16", "f64"];

/** Tells whether a gradient can flow to a tensor. */
export function isDifferentiable({ dtype }: DeviceTensor): boolean {
  return DIFFERENTIABLE.includes(dtype);
}

/** Settings of {@linkcode Recording.backward}. */
export interface BackwardOptions {
  /**
   * Factor on the loss and on the gradient terms that routers add, such as 1 / micro-batches for
   * gradient accumulation. Default 1.
   */
  scale?: number;
}

/**
 * A scope that also records: open it, run the forward pass, call `backward`, let it close.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, exp, read, sum } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([0, 1], [2]);
 * using tape = device.record();
 * tape.watch(x);
 * tape.backward(sum(exp(x)), { scale: 2 });
 * assert((await read(tape.gradient(x)))[0] === 2); // 2 · e⁰
 * ```
 */
export interface Recording extends Scope {
  /**
   * Requests the gradient of a tensor that is not a parameter.
   *
   * @param tensor The tensor; only operations recorded after this call contribute.
   * @returns The same tensor.
   */
  watch<T extends Tensor>(tensor: T): T;
  /**
   * Runs the tape backward, once: gradients accumulate in parameters and watched tensors.
   *
   * @param loss A scalar computed on this tape.
   * @param options Factor on the loss.
   * @throws {Error} If nothing watched leads to the loss, the tape has run or is closed, or a
   * tensor that a derivative needs was written after the forward pass.
   */
  backward(loss: Tensor<"f32", readonly []>, options?: BackwardOptions): void;
  /**
   * Returns the gradient of a watched tensor after `backward`; it lives as long as the tape.
   *
   * @param tensor A tensor passed to `watch`.
   * @returns Its gradient, of the same shape: bf16 for a bf16 tensor, else f32.
   * @throws {Error} If it was not watched, or `backward` has not run.
   */
  gradient<T extends Tensor>(tensor: T): Tensor<GradientType<T["dtype"]>, T["shape"]>;
}

/** A node, and the versions of its saved tensors when it ran. */
interface Recorded {
  readonly node: TapeNode;
  readonly versions: readonly number[];
}

/** A scope that is also a tape, opened by {@linkcode Device.record}. */
export class Tape extends MemoryScope implements Recording, Recorder {
  readonly #nodes: Recorded[] = [];
  readonly #watched: Set<DeviceTensor> = new Set();
  readonly #gradients: Map<DeviceTensor, Gradient> = new Map();
  #consumed = false;

  static {
    showsItself(Tape, (tape) => {
      const { facts, ...description } = tape.describe("Recording");
      return { ...description, facts: { operations: tape.#nodes.length, ...facts } };
    });
  }

  private constructor(memory: DeviceMemory, private readonly observer: OperationObserver | null) {
    super(memory, memory.innermost, "recording");
  }

  /** Opens a tape as the innermost scope. */
  static open(memory: DeviceMemory, observer: OperationObserver | null = null): Tape {
    const tape = memory.push(new Tape(memory, observer));
    memory.recorder = tape;
    return tape;
  }

  watch<T extends Tensor>(tensor: T): T {
    const [watched] = operands("watch", typed(tensor, DIFFERENTIABLE));
    requireDevice("watch", this.memory, watched);
    this.#requireOpen("watch a tensor");
    const { tracker } = watched;
    if (tracker instanceof Tape && tracker !== this && !tracker.closed) {
      throw new Error(
        "Cannot watch a tensor that another open recording tracks, which would lose its gradient: " +
          "watch a view of it, reshape(x, x.shape)",
      );
    }
    watched.tracker = this;
    watched.storage.isLeaf = true;
    this.#watched.add(watched);
    return tensor;
  }

  record(node: TapeNode): void {
    this.observer?.forward(node);
    if (!node.inputs.some((input) => this.#isTracked(input))) return;
    this.#nodes.push({ node, versions: node.saved.map(({ version }) => version) });
    for (const output of node.outputs) output.tracker = this;
    // An inner scope may close before backward runs.
    for (const { storage } of node.saved) {
      if (storage.scope.depth > this.depth) this.move(storage, this);
    }
  }

  #requireOpen(operation: string): void {
    if (this.closed) throw new Error(`Cannot ${operation}: the recording is closed`);
  }

  #isTracked(tensor: DeviceTensor): boolean {
    return tensor.tracker === this || parameterOf(tensor) !== null;
  }

  backward(loss: Tensor<"f32", readonly []>, options: BackwardOptions = {}): void {
    const [root] = operands("run backward from", loss);
    this.#requireOpen("run backward");
    requireOptions("run backward", options, { scale: true });
    const { scale = 1 } = options;
    requireFinite("run backward", "scale", scale);
    if (this.#consumed) {
      throw new Error(
        "Cannot run backward twice on one tape: add the losses first, or record again",
      );
    }
    if (root.size !== 1) {
      throw new RangeError(
        `Cannot run backward from shape ${
          showShape(root.shape)
        }: the loss must be a scalar; sum or average it`,
      );
    }
    if (root.tracker !== this) {
      throw new Error(
        "Cannot run backward: no parameter or watched tensor leads to this loss on this tape",
      );
    }
    const seed = this.memory.allocateIn(this, "f32", root.shape);
    fill(seed, scale);
    this.backwardFrom(root, seed, scale);
  }

  /** Runs the tape backward from the gradient of `root`, for a loss scaled by `scale`. */
  backwardFrom(root: DeviceTensor, gradient: Gradient, scale: number): void {
    this.#consumed = true;
    using pause = this.memory.openPause();
    const pass = new BackwardPass(root, gradient, {
      scale,
      scope: pause,
      isTracked: (tensor) => this.#isTracked(tensor),
    });
    for (let last = this.#nodes.pop(); last !== undefined; last = this.#nodes.pop()) {
      const { node } = last;
      if (!node.outputs.some((output) => pass.of(output) !== null)) continue;
      requireUnchanged(last);
      using _temporaries = this.memory.openScope();
      node.backward(pass);
      this.observer?.backward(node, (tensor) => pass.of(tensor));
      // Once passed on, a gradient is no longer needed unless its tensor is watched.
      for (const output of node.outputs) {
        if (!this.#watched.has(output)) pass.release(output);
      }
    }
    for (const watched of this.#watched) {
      if (pass.of(watched) === null) continue;
      const kept = pass.ownedBy(watched);
      this.move(kept.storage, this);
      this.#gradients.set(watched, kept);
    }
  }

  gradient<T extends Tensor>(tensor: T): Tensor<GradientType<T["dtype"]>, T["shape"]> {
    const [watched] = operands("give the gradient of", typed<Tensor>(tensor, DIFFERENTIABLE));
    this.#requireOpen("give a gradient");
    if (!this.#consumed) {
      throw new Error("Cannot give a gradient before backward() has run on this tape");
    }
    return this.gradientOf(watched) as unknown as Tensor<GradientType<T["dtype"]>, T["shape"]>;
  }

  /** Implements {@linkcode Tape.gradient} for internal tensors. */
  gradientOf(watched: DeviceTensor): Gradient {
    if (!this.#watched.has(watched)) {
      throw new Error(
        "Cannot give a gradient of a tensor that was not watched: call watch() first",
      );
    }
    // A parameter keeps its own, accumulated over tapes.
    if (isParameter(watched)) return watched.gradient;
    let gradient = this.#gradients.get(watched);
    if (gradient === undefined) {
      gradient = this.memory.allocateIn(this, gradientType(watched.dtype), watched.shape);
      fill(gradient, 0);
      this.#gradients.set(watched, gradient);
    }
    return gradient;
  }
}

/** Throws if a saved tensor was overwritten since the forward pass. */
function requireUnchanged({ node, versions }: Recorded): void {
  const changed = node.saved.find(({ version }, i) => version !== versions[i]);
  if (changed === undefined) return;
  throw new Error(
    `Cannot run ${node.operation} backward: its tensor of shape ${showShape(changed.shape)} was ` +
      `written after the forward pass; write, or take an optimizer's step, after backward()`,
  );
}
