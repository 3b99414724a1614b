/** Blocks of device memory, and the scopes that free them. @module */

import type { MemoryScope } from "./scope.ts";

/** A block of device memory, shared by a tensor and its views. */
export class Storage {
  live = true;
  /** Number of times it was overwritten: a tape checks that its saved tensors are unchanged. */
  writes = 0;
  /** Whether its owner relies on its content: a parameter or a watched tensor. */
  isLeaf = false;
  /** Its owner's name in messages; null if a scope or the user owns it. */
  owner: string | null = null;

  constructor(
    readonly address: bigint,
    readonly bytes: number,
    /** The scope that frees the block when it closes. */
    public scope: MemoryScope,
    /** Where it was made, in debug mode only; the stack is formatted when read. */
    readonly site: Error | null,
  ) {}
}
