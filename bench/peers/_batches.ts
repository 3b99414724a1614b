/**
 * Batches as tensors in a file, for Python to read.
 *
 * @module
 */

import type { Batch } from "../../lib/data/batches/batches.ts";
import type { TensorEntry } from "../../lib/checkpoint/write_safetensors.ts";

/**
 * Makes tensors of the tokens and targets of optimizer steps.
 *
 * @param steps The micro-batches of each step, all of the same size.
 * @returns Both tensors, [steps, micro-batches, rows · sequence].
 */
export function batchEntries(steps: readonly (readonly Batch[])[]): TensorEntry[] {
  const [first = []] = steps;
  const size = first[0]?.tokens.length ?? 0;
  return (["tokens", "targets"] as const).map((name) => ({
    name,
    dtype: "I32",
    shape: [steps.length, first.length, size],
    read: () => steps.flat().map((batch) => new Uint8Array(batch[name].buffer)),
  }));
}
