/**
 * Memory that the widest operations take while they run, as the kernels of a device say it.
 *
 * @module
 */

import { LARGEST_SIZE } from "../arguments.ts";
import { keptLogits } from "../autograd/cross_entropy.ts";
import { type Device, memoryOf } from "../autograd/device.ts";
import { ScratchCode, Status } from "../ffi/codes.ts";
import type { TrainConfig } from "../config/config.ts";

/**
 * Gives the scratch memory of the experts' backward pass.
 *
 * @param device Whose kernels are asked; null: nobody's.
 * @param config The whole configuration.
 * @param rows Routed rows of a layer and micro-batch, spread evenly over the experts.
 * @param kept How many of them keep their pre-activations.
 * @returns Bytes. Where nobody can be asked, what every build needs: the gradient of each row's
 * input, fp32 [rows, h], since sums by token have a fixed order.
 */
export function expertsScratch(
  device: Device | null,
  { model, moe, data }: TrainConfig,
  rows: number,
  kept: number,
): number {
  const { hidden, ffn } = model;
  const { granularity } = moe;
  const tokens = data.micro_batch * data.sequence;
  const sizes = [rows, kept, tokens, hidden, ffn / granularity, moe.experts * granularity];
  return scratchBytes(device, ScratchCode.expertsGradient, sizes) ?? 4 * rows * hidden;
}

/**
 * Gives the scratch memory of the output head's backward pass, beside the logits that were kept.
 *
 * @param device Whose kernels are asked; null: nobody's.
 * @param config The whole configuration.
 * @returns Bytes; 0 where nobody can be asked.
 */
export function headScratch(device: Device | null, { model, data }: TrainConfig): number {
  const { hidden, vocabulary } = model;
  const tokens = data.micro_batch * data.sequence;
  const sizes = [tokens, hidden, vocabulary, keptLogits(tokens, vocabulary) > 0 ? 1 : 0];
  return scratchBytes(device, ScratchCode.crossEntropyGradient, sizes) ?? 0;
}

/** Null where the build does not say, or could not take such sizes either. */
function scratchBytes(
  device: Device | null,
  operation: number,
  sizes: readonly number[],
): number | null {
  // The rows of a router that is told their mean need not be whole.
  const whole = sizes.map(Math.ceil);
  if (device === null || whole.some((size) => size > LARGEST_SIZE)) return null;
  const { kernels: k } = memoryOf(device);
  const bytes = new BigUint64Array(1);
  const status = k.symbols.remoe_scratch_bytes(k.handle, operation, Int32Array.from(whole), bytes);
  if (status === Status.unsupported) return null;
  k.check(status, "scratch memory");
  return Number(bytes[0]);
}
