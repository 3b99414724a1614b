/** What an operation tells a tape, and what the tape gives it back. @module */

import type { DeviceTensor } from "./tensor.ts";

/** Where the gradient of an input is to be written. */
export interface GradientTarget {
  /** The gradient's memory, with the shape of the input. */
  readonly tensor: DeviceTensor<"f32">;
  /** 1: add to what is there, 0: overwrite. */
  readonly accumulate: 0 | 1;
}

/** The gradients of one operation during the backward pass. */
export interface Gradients {
  /** What the loss was multiplied by: a term that an operation adds on its own must be, too. */
  readonly scale: number;
  /** The gradient that has reached an output; null where none has. */
  of(output: DeviceTensor): DeviceTensor<"f32"> | null;
  /** Where to write the gradient of an input; null where nobody wants it. */
  into(input: DeviceTensor): GradientTarget | null;
  /** Adds a gradient that was computed elsewhere; nothing where nobody wants it. */
  add(input: DeviceTensor, gradient: DeviceTensor<"f32">): void;
  /**
   * Makes the gradient that has reached an output that of an input of the same shape as well, or adds
   * it there: without a copy, as long as nobody else adds to it.
   */
  share(output: DeviceTensor, input: DeviceTensor): void;
}

/** One operation on the tape. */
export interface TapeNode {
  /** Name for errors. */
  readonly operation: string;
  readonly inputs: readonly DeviceTensor[];
  readonly outputs: readonly DeviceTensor[];
  /** What `backward` reads besides gradients: kept until the tape closes. */
  readonly saved: readonly DeviceTensor[];
  /** Computes the gradients of the inputs from those of the outputs. */
  backward(gradients: Gradients): void;
}

/** Is told of every operation on a tape as it has run; only who looks for a fault pays for it. */
export interface OperationObserver {
  /** An operation has run. */
  forward(node: TapeNode): void;
  /** Its derivative has run; `gradientOf` gives what has reached a tensor so far. */
  backward(
    node: TapeNode,
    gradientOf: (tensor: DeviceTensor) => DeviceTensor<"f32"> | null,
  ): void;
}

/** Something that records operations. */
export interface Recorder {
  /** Takes a node if a gradient flows to any of its inputs, and marks its outputs. */
  record(node: TapeNode): void;
}

/** Offers a node to the tape that records now, if any. */
export function recordNode(node: TapeNode): void {
  const recorder = node.outputs[0]?.memory.recorder;
  if (recorder) recorder.record(node);
}
