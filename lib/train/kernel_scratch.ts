/**
 * Scratch memory of the largest operations, as stated by a device's kernels.
 *
 * @module
 */

import { DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { LARGEST_SIZE } from "../arguments.ts";
import { keptLogits } from "../autograd/cross_entropy.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ScratchCode, Status } from "../ffi/codes.ts";
import type { TrainConfig } from "../config/config.ts";
import { tokensOf } from "./kept_bytes.ts";

/** A backward pass of one layer's experts. */
export interface ExpertsPass {
  /** The type that it computes in. */
  readonly dtype: Real;
  /** Routed rows of a micro-batch. */
  readonly rows: number;
  /** How many of them keep their pre-activations. */
  readonly kept: number;
  /** Experts that they are spread over. */
  readonly experts: number;
}

/**
 * Returns the scratch memory of the experts' backward pass.
 *
 * @param device The device whose kernels are asked; null: none.
 * @param config The full configuration.
 * @param pass Routed rows per layer and micro-batch, spread evenly over so many experts, and how many
 * of them keep their pre-activations.
 * @returns Bytes. Without an answer, what every build needs: the gradient of each row's input, fp32
 * [rows, h], since sums by token have a fixed order.
 */
export function expertsScratch(
  device: Device | null,
  config: TrainConfig,
  { dtype, rows, kept, experts }: ExpertsPass,
): number {
  const { model: { hidden, ffn }, moe } = config;
  const sizes = [rows, kept, tokensOf(config), hidden, ffn / moe.granularity, experts];
  return scratchBytes(device, ScratchCode.expertsGradient, dtype, sizes) ?? 4 * rows * hidden;
}

/** A backward pass of the output head. */
export interface HeadPass {
  /** The type that it computes in. */
  readonly dtype: Real;
  /** The most bytes of logits that are kept. */
  readonly logits: number;
}

/**
 * Returns the scratch memory of the output head's backward pass, apart from the kept logits.
 *
 * @param device The device whose kernels are asked; null: none.
 * @param config The full configuration.
 * @param pass Its type, and the bound of the kept logits.
 * @returns Bytes; 0 without an answer.
 */
export function headScratch(
  device: Device | null,
  config: TrainConfig,
  { dtype, logits }: HeadPass,
): number {
  const { hidden, vocabulary } = config.model;
  const tokens = tokensOf(config);
  const isKept = keptLogits(tokens, vocabulary, dtype, logits) > 0;
  const sizes = [tokens, hidden, vocabulary, isKept ? 1 : 0];
  return scratchBytes(device, ScratchCode.crossEntropyGradient, dtype, sizes) ?? 0;
}

/** Null if the build does not state it, or could not run such sizes anyway. */
function scratchBytes(
  device: Device | null,
  operation: number,
  dtype: Real,
  sizes: readonly number[],
): number | null {
  // A router's expected number of rows may be fractional.
  const whole = sizes.map(Math.ceil);
  if (device === null || whole.some((size) => size > LARGEST_SIZE)) return null;
  const { kernels: k } = memoryOf(device);
  const bytes = new BigUint64Array(1);
  const status = k.symbols.remoe_scratch_bytes(
    k.handle,
    operation,
    DTYPE_CODE[dtype],
    Int32Array.from(whole),
    bytes,
  );
  if (status === Status.unsupported) return null;
  k.check(status, "scratch memory");
  return Number(bytes[0]);
}
