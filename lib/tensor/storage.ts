/** One block of device memory and the scope that frees it. @module */

import type { Recorder } from "./recorder.ts";
import type { MemoryScope } from "./scope.ts";

/** A block of device memory; tensors and their views share it. */
export class Storage {
  live = true;
  /** Whether somebody outside holds on to its content: a weight, or a watched tensor. */
  isLeaf = false;
  /** The recording whose backward pass reads its content. */
  reader: Recorder | null = null;

  constructor(
    readonly address: bigint,
    readonly bytes: number,
    /** The scope that frees the block when it closes. */
    public scope: MemoryScope,
    /** Where it was made; kept in debug mode only, formatted when read. */
    readonly site: Error | null,
  ) {}
}
