/** One block of device memory and the scope that frees it. @module */

import type { MemoryScope } from "./scope.ts";

/** A block of device memory; tensors and their views share it. */
export class Storage {
  live = true;
  /** How often it was overwritten after it was made: what a tape has saved must not change. */
  writes = 0;
  /** Whether somebody outside holds on to its content: a weight, or a watched tensor. */
  isLeaf = false;
  /** What it is a part of, as messages name it; null for a tensor that a scope or user owns. */
  owner: string | null = null;

  constructor(
    readonly address: bigint,
    readonly bytes: number,
    /** The scope that frees the block when it closes. */
    public scope: MemoryScope,
    /** Where it was made; kept in debug mode only, formatted when read. */
    readonly site: Error | null,
  ) {}
}
