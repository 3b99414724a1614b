/** Scopes: lifetimes of tensors, closed strictly last in, first out. @module */

import type { DeviceMemory } from "./device_memory.ts";
import { type Description, showsItself } from "./display.ts";
import type { Storage } from "./storage.ts";
import { any, operands, requireDevice } from "./operands.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Owns every tensor made while it is the innermost scope, and frees them when it closes.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { add, Device, read, type Scope } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * function sumOfThree() {
 *   using scope: Scope = device.scope();
 *   const ones = device.ones([2]);
 *   return scope.keep(add(add(ones, ones), ones)); // the rest is freed here
 * }
 * using three = sumOfThree();
 * assert((await read(three))[0] === 3);
 * ```
 */
export interface Scope extends Disposable {
  /**
   * Moves a tensor to the enclosing scope or, at the root, to the caller, who then disposes of it.
   *
   * @param tensor A tensor or a view, whose underlying memory moves.
   * @returns The same tensor.
   * @throws {Error} If the scope is closed.
   */
  keep<T extends Tensor>(tensor: T): T;
}

/** The implementation of {@linkcode Scope}; a tape extends it. */
export class MemoryScope implements Scope {
  readonly storages: Set<Storage> = new Set();
  /** Index in the stack of scopes; the root's is 0. */
  readonly depth: number;
  /** Whether it has freed what it held; set by the memory. */
  closed = false;
  /** Where it was opened, reported if scopes close out of order. */
  readonly site: Error;

  static {
    showsItself(MemoryScope, (scope) => scope.describe("Scope"));
  }

  constructor(readonly memory: DeviceMemory, readonly parent: MemoryScope | null, kind: string) {
    this.depth = parent === null ? 0 : parent.depth + 1;
    this.site = new Error(`${kind} opened here`);
  }

  keep<T extends Tensor>(tensor: T): T {
    const [kept] = operands("keep", any<Tensor>(tensor));
    requireDevice("keep", this.memory, kept);
    if (this.closed) throw new Error("Cannot keep a tensor: the scope is closed");
    if (this.parent !== null && kept.storage.scope.depth >= this.depth) {
      this.move(kept.storage, this.parent);
      // The caller may be left with only a view, which must be able to free the memory.
      kept.own();
    }
    return tensor;
  }

  /** Describes it for display. */
  protected describe(kind: string): Description {
    const tensors = this.storages.size;
    const facts = this.closed ? { closed: true } : { tensors };
    return { kind, facts, place: { memory: this.memory, live: true } };
  }

  /** Moves a block to another scope. */
  move(storage: Storage, target: MemoryScope): void {
    storage.scope.storages.delete(storage);
    storage.scope = target;
    target.storages.add(storage);
  }

  [Symbol.dispose](): void {
    this.memory.closeScope(this);
  }
}

/** Suspends recording: operations inside are not recorded on an enclosing tape. */
export class PauseScope extends MemoryScope {}
