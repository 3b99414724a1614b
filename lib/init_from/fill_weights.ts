/** Fills a new model with the tensors that a checkpoint has in the same form. @module */

import { permuteInto } from "../autograd/layout.ts";
import { PIECE } from "../checkpoint/finite_values.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { fill } from "../checkpoint/weight_layout.ts";
import { unwrapped } from "../tensor/operands.ts";
import { inversePermutation } from "../tensor/shape_math.ts";
import type { PlannedWeight, WeightPlan } from "./plan_weights.ts";

/**
 * Fills the weights that a checkpoint has in the same form; copies of dense layers are not among
 * them.
 *
 * @param plan Where each weight comes from.
 * @param file The checkpoint's weights.
 * @throws {CheckpointError} If a tensor cannot be read as fp32.
 */
export function fillWeights({ weights }: WeightPlan, file: SafetensorsFile): void {
  const buffer = new Uint8Array(PIECE);
  for (const weight of weights) {
    const { kind } = weight.origin;
    if (kind === "taken" || kind === "rows") fillOne(weight, file, buffer);
  }
}

/** Reads a parameter's parts in the file's order; rows that the file lacks stay as they were. */
function fillOne(
  { parameter, layout: { view, order, parts } }: PlannedWeight,
  file: SafetensorsFile,
  buffer: Uint8Array<ArrayBuffer>,
): void {
  const target = unwrapped(parameter);
  using scope = target.memory.openScope();
  const ordered = scope.memory.allocate("f32", parameter.shape);
  permuteInto(ordered, target, view, order);
  const bytes = 4 * target.size;
  let offset = 0;
  for (const { name } of parts) {
    const { shape } = file.tensors.get(name)!;
    const pieces = file.pieces(name, { dtype: "F32", shape }, buffer);
    offset = fill(ordered, offset, firstBytes(pieces, bytes - offset));
  }
  permuteInto(target, ordered, order.map((axis) => view[axis]!), inversePermutation(order));
}

/** Pieces up to a number of bytes: a file may have more rows of padding than the model. */
function* firstBytes(
  pieces: Iterable<Uint8Array<ArrayBuffer>>,
  bytes: number,
): Generator<Uint8Array<ArrayBuffer>> {
  let left = bytes;
  for (const piece of pieces) {
    yield piece.subarray(0, left);
    left -= piece.length;
    if (left <= 0) return;
  }
}
