/** Which pairs of token and expert are routed, one bit each. @module */

import type { DeviceMemory } from "../tensor/device_memory.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";

/** A mask and what it says of each expert. */
export interface RoutingMask<E extends number> {
  /** `[T, ceil(E/32)]`: expert e is bit e mod 32 of word ⌊e/32⌋. */
  readonly mask: DeviceTensor<"i32">;
  /** Tokens of each expert. */
  readonly counts: DeviceTensor<"i32", readonly [E]>;
}

/** Room for the mask of that many tokens. */
export function allocateMask(
  memory: DeviceMemory,
  tokens: number,
  experts: number,
): DeviceTensor<"i32"> {
  return memory.allocate("i32", [tokens, Math.ceil(experts / 32)]);
}

/** The mask of the pairs whose value is not 0; NaN is not 0. */
export function routingMask<E extends number>(
  values: DeviceTensor<"f32", readonly [number, E]>,
): RoutingMask<E> {
  const { memory, shape: [tokens, experts] } = values;
  const { kernels: k } = memory;
  const mask = allocateMask(memory, tokens, experts);
  const counts = memory.allocate("i32", [experts] as const);
  k.check(
    k.symbols.remoe_routing_mask(
      k.handle,
      mask.address,
      counts.address,
      values.address,
      tokens,
      experts,
    ),
    "routing mask",
  );
  return { mask, counts };
}
