/**
 * Finding the first value of a file that is not finite.
 *
 * @module
 */

import type { SafetensorsFile } from "./safetensors.ts";

/**
 * Bytes that are read or copied at once. Arrays the size of a model would wait for the garbage
 * collector, which is in no hurry to free memory outside its heap: gigabytes pile up.
 */
export const PIECE = 4 << 20;

/** A value of a tensor. */
export interface TensorValue {
  /** The tensor's name. */
  readonly name: string;
  /** The value. */
  readonly value: number;
}

/**
 * Finds the first value that is not finite.
 *
 * @param names The tensors to search, in order; all of them are in the file.
 * @param file The file.
 * @returns The value; null if all are finite.
 * @throws {CheckpointError} A tensor cannot be read as fp32, or the file ends early.
 */
export function firstNonFinite(names: Iterable<string>, file: SafetensorsFile): TensorValue | null {
  const buffer = new Uint8Array(PIECE);
  for (const name of names) {
    const { shape } = file.tensors.get(name)!;
    for (const piece of file.pieces(name, { dtype: "F32", shape }, buffer)) {
      const values = new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4);
      const value = values.find((value) => !Number.isFinite(value));
      if (value !== undefined) return { name, value };
    }
  }
  return null;
}
