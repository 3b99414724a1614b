/** What routers keep of the prompts, layer by layer. @module */

import type { RouterMemory } from "../moe/routing_context.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { operands, requireDevice } from "../tensor/operands.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { copyInto } from "../tensor/transfer.ts";

/** The tensors that routers keep while a cache's sequences grow, at most one per layer. */
export class RouterStates implements Disposable {
  readonly #memory: DeviceMemory;
  readonly #kept = new Map<number, DeviceTensor<"f32">>();

  /** Starts with none. */
  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  /** The place of one layer. */
  of(layer: number): RouterMemory {
    return {
      read: () => this.#kept.get(layer) ?? null,
      keep: (state) => this.#keep(layer, state),
    };
  }

  #keep(layer: number, state: Tensor<"f32">): void {
    const [source] = operands("keep a router's state in a cache:", state);
    requireDevice("keep a router's state in a cache:", this.#memory, source);
    const copy = this.#memory.allocateAtRoot("f32", source.shape, "the cache");
    copyInto(copy, source);
    this.#kept.get(layer)?.[Symbol.dispose]();
    this.#kept.set(layer, copy);
  }

  /** Forgets all, as the sequences they belong to are gone. */
  clear(): void {
    for (const state of this.#kept.values()) state[Symbol.dispose]();
    this.#kept.clear();
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.clear();
  }
}
