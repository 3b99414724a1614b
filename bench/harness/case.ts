/** What a bench times. @module */

import type { Device } from "../../mod.ts";

/** What a call works on and moves. */
export interface Work {
  /** Floating-point operations that the call executes, a fused multiply-add counted as two. */
  readonly flops: number;
  /** Bytes that must be read and written at least once. */
  readonly bytes: number;
}

/** A case with its buffers on the device. */
export interface PreparedCase extends Disposable {
  /** The call that is timed; the harness waits for the device after it. */
  run(): void;
}

/** One line of the table. */
export interface BenchCase extends Work {
  /** The operation, as the table's sections are called. */
  readonly group: string;
  /** Model, operation and shapes: what a comparison finds it by. */
  readonly name: string;
  /** Whether it is left out unless everything is asked for: it takes long or much memory. */
  readonly full?: boolean;
  /** Makes the buffers and fills them; not timed. */
  prepare(device: Device): PreparedCase;
}
