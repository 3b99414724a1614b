/** The cases that a bench times. @module */

import type { Real } from "../../lib/tensor/dtype.ts";
import type { Device } from "../../mod.ts";

/** The work of a call. */
export interface Work {
  /** Floating-point operations that the call executes, a fused multiply-add counted as two. */
  readonly flops: number;
  /** Bytes that must be read or written at least once. */
  readonly bytes: number;
}

/** A case with its buffers on the device. */
export interface PreparedCase extends Disposable {
  /** Runs the timed call; the harness waits for the device after it. */
  run(): void;
}

/** One row of the table. */
export interface BenchCase extends Work {
  /** The operation, which names a section of the table. */
  readonly group: string;
  /** Model, operation and shapes, by which a comparison identifies it. */
  readonly name: string;
  /** Type of the operands of its products; fp32 by default. */
  readonly dtype?: Real;
  /** Whether it runs only with `--full`, since it takes long or much memory. */
  readonly full?: boolean;
  /** Makes and fills the buffers; not timed. */
  prepare(device: Device): PreparedCase;
}
