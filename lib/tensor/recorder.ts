/** The interface between operations and the tape. @module */

import type { GradientType } from "./dtype.ts";
import type { DeviceTensor } from "./tensor.ts";

/** A gradient: bf16 for a bf16 tensor, fp32 for any other. */
export type Gradient = DeviceTensor<GradientType>;

/** Where to write the gradient of an input. */
export interface GradientTarget {
  /**
   * The gradient, of the input's shape and the type of its gradients; fp32 where the input is the
   * bf16 copy of a parameter.
   */
  readonly tensor: Gradient;
  /** 1 adds to the gradient so far, 0 overwrites. */
  readonly accumulate: 0 | 1;
}

/** Access to gradients during the backward pass of an operation. */
export interface Gradients {
  /** Factor on the loss; terms that an operation adds itself must be scaled by it too. */
  readonly scale: number;
  /** The gradient that has reached an output; null if none has. */
  of(output: DeviceTensor): Gradient | null;
  /** Where to write the gradient of an input; null if it is not needed. */
  into(input: DeviceTensor): GradientTarget | null;
  /** Adds a gradient that was computed elsewhere; does nothing if it is not needed. */
  add(input: DeviceTensor, gradient: Gradient): void;
  /**
   * Passes the gradient of an output on to an input of the same shape and type. The two share
   * memory until something else is added to either.
   */
  share(output: DeviceTensor, input: DeviceTensor): void;
}

/** One operation on the tape. */
export interface TapeNode {
  /** Name for error messages. */
  readonly operation: string;
  readonly inputs: readonly DeviceTensor[];
  readonly outputs: readonly DeviceTensor[];
  /** Tensors that `backward` reads; kept alive until the tape closes. */
  readonly saved: readonly DeviceTensor[];
  /** Computes the inputs' gradients from the outputs'. */
  backward(gradients: Gradients): void;
}

/** Notified of every operation on a tape; only used to look for a fault, as it costs time. */
export interface OperationObserver {
  /** An operation has run. */
  forward(node: TapeNode): void;
  /** Its derivative has run; `gradientOf` returns what has reached a tensor so far. */
  backward(
    node: TapeNode,
    gradientOf: (tensor: DeviceTensor) => Gradient | null,
  ): void;
}

/** Records operations. */
export interface Recorder {
  /** Records a node if a gradient flows to any of its inputs, and marks its outputs. */
  record(node: TapeNode): void;
}

/** Offers a node to the active tape, if any. */
export function recordNode(node: TapeNode): void {
  const recorder = node.outputs[0]?.memory.recorder;
  if (recorder) recorder.record(node);
}
