/** Places the arguments of a valid call on a device. @module */

import { type KernelContext, TensorWord } from "../../lib/ffi/mod.ts";
import type { Argument, ArgumentValue } from "./valid_calls.ts";

/** Room for any argument of a tiny call. */
const BLOCK_BYTES = 65_536;

/** Values of a call by parameter name. */
export type Values = Readonly<Record<string, ArgumentValue>>;

/**
 * Allocates and fills memory for every address.
 *
 * @param kernels The device.
 * @param parameters The arguments of a valid call.
 * @returns The values, and the blocks to free.
 */
export function placeArguments(
  kernels: KernelContext,
  parameters: Readonly<Record<string, Argument>>,
): { values: Values; blocks: bigint[] } {
  const blocks: bigint[] = [];
  const entries = Object.entries(parameters).map(([name, { valid }]) => {
    if (valid !== "address") return [name, valid] as const;
    const block = kernels.allocate(BLOCK_BYTES);
    blocks.push(block);
    kernels.writeBytes(block, contentOf(name, block, parameters));
    return [name, block] as const;
  });
  return { values: Object.fromEntries(entries), blocks };
}

/**
 * Zeros, except ones in the step state, whose bias corrections are divisors, and tables where
 * needed.
 */
function contentOf(
  name: string,
  block: bigint,
  parameters: Readonly<Record<string, Argument>>,
): Uint8Array<ArrayBuffer> {
  if (name === "state") return new Uint8Array(new Float64Array(BLOCK_BYTES / 8).fill(1).buffer);
  // The embedding's table is something else.
  return name === "table" && "state" in parameters ? tableOf(block) : new Uint8Array(BLOCK_BYTES);
}

/** A table for one parameter of one element, whose tensors follow the table in memory. */
function tableOf(block: bigint): Uint8Array<ArrayBuffer> {
  const words = new BigUint64Array(BLOCK_BYTES / 8);
  const { master, gradient, moment1, moment2, elements } = TensorWord;
  for (const [i, word] of [master, gradient, moment1, moment2].entries()) {
    words[word] = block + BigInt(1024 * (i + 1));
  }
  words[elements] = 1n;
  return new Uint8Array(words.buffer);
}
