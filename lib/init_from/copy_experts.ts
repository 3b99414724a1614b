/**
 * Upcycling: the experts of a layer from the feed-forward network of a dense one.
 *
 * With granularity G, a full-size expert is G slices of the network's width. SwiGLU acts on each
 * unit of the width by itself, so the slices' outputs add up to the network's. The router's columns
 * of a copy's slices begin equal, so that they are chosen together and with one gate: a "virtual
 * group" (arXiv:2410.07524).
 *
 * @module
 */

import { permuteInto } from "../autograd/layout.ts";
import { fillNormal } from "../autograd/made_tensors.ts";
import { scale } from "../autograd/unary.ts";
import { PIECE } from "../checkpoint/finite_values.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import type { DeviceMemory } from "../tensor/device_memory.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { accumulate, download, upload, uploadBytes } from "../tensor/transfer.ts";
import { densePartsOf, type PlannedWeight, type WeightPlan } from "./plan_weights.ts";

/** The factors of what experts put out. */
export interface ExpertFactors {
  /** That of the experts that every token uses. */
  readonly shared: number;
  /** That of a layer's routed experts. */
  routed(layer: number): number;
}

/** How dense layers become experts. */
export interface CopyOptions extends ExpertFactors {
  /** Deviation of the noise, relative to the root mean square of each copied matrix. */
  readonly noise: number;
}

/** A matrix on the device. */
interface Matrix {
  readonly tensor: DeviceTensor<"f32">;
  /** Root mean square of its elements. */
  readonly size: number;
}

/**
 * Copies dense layers into experts, in the order of the parameters. Noise comes from the device's
 * next draws. The factor of a layer's output is shared by the up and the down projection, a root
 * each: the optimizer moves all weights by steps of like size.
 *
 * @param plan Where each weight comes from.
 * @param file The checkpoint's weights.
 * @param options Noise and factors.
 * @throws {CheckpointError} If a tensor cannot be read as fp32.
 */
export function copyExperts(
  { weights }: WeightPlan,
  file: SafetensorsFile,
  { noise, shared, routed }: CopyOptions,
): void {
  for (const weight of weights) {
    const { parameter, origin } = weight;
    if (origin.kind !== "copied") continue;
    const { memory } = unwrapped(parameter);
    using _scope = memory.openPause();
    const isShared = parameter.name.includes(".shared_expert.");
    const factor = Math.sqrt(isShared ? shared : routed(layerOf(origin.dense)));
    const [gate, up, down] = densePartsOf(origin.dense);
    if (/(w2|down_proj\.weight)$/.test(parameter.name)) {
      fillDown(weight, scaled(transposed(readMatrix(memory, file, down)), factor), noise);
    } else {
      const scaledUp = scaled(readMatrix(memory, file, up), factor);
      fillUp(weight, [readMatrix(memory, file, gate), scaledUp], noise);
    }
  }
}

/** The layer's number in a name such as `model.layers.3.mlp`. */
export function layerOf(name: string): number {
  return Number(/^model\.layers\.(\d+)\./.exec(name)![1]);
}

/**
 * Makes the columns of a router equal for the slices of each copy.
 *
 * @param weight The router's weights `[D, E·G]`.
 * @param granularity Slices per copy, G; their columns are next to each other.
 */
export function groupColumns(weight: DeviceTensor<"f32">, granularity: number): void {
  const values = download(weight);
  upload(weight, values.map((_, i) => values[i - i % granularity]!));
}

function readMatrix(memory: DeviceMemory, file: SafetensorsFile, name: string): Matrix {
  const { shape } = file.tensors.get(name)!;
  const tensor = memory.allocate("f32", shape);
  let [offset, squares] = [0, 0];
  for (const piece of file.pieces(name, { dtype: "F32", shape }, new Uint8Array(PIECE))) {
    uploadBytes(tensor, offset, piece);
    offset += piece.length;
    const values = new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4);
    for (const value of values) squares += value * value;
  }
  return { tensor, size: Math.sqrt(squares / tensor.size) };
}

function transposed({ tensor, size }: Matrix): Matrix {
  const turned = tensor.memory.allocate("f32", [tensor.shape[1]!, tensor.shape[0]!]);
  permuteInto(turned, tensor, tensor.shape, [1, 0]);
  return { tensor: turned, size };
}

function scaled({ tensor, size }: Matrix, factor: number): Matrix {
  if (factor === 1) return { tensor, size };
  return { tensor: unwrapped(scale(tensor, factor)), size: factor * size };
}

/** Fills down projections `[E·G, F/G, D]` with as many copies of `[F, D]` as fit. */
function fillDown({ parameter }: PlannedWeight, { tensor, size }: Matrix, noise: number): void {
  const target = unwrapped(parameter);
  if (target.size % tensor.size !== 0) {
    throw new RangeError(
      `Cannot fill ${parameter.name} of ${target.size} elements with copies of ${tensor.size}`,
    );
  }
  for (let start = 0; start < target.size; start += tensor.size) {
    copyElements(target, start, tensor, 0, tensor.size);
  }
  if (noise === 0) return;
  const draws = target.memory.allocate("f32", parameter.shape);
  fillNormal(draws, 0, 1);
  accumulate(target, draws, noise * size);
}

/** Fills gate and up projections, `[E·G, D, 2, F/G]` in memory, from two of `[F, D]`. */
function fillUp(
  { parameter, layout: { view } }: PlannedWeight,
  matrices: readonly [Matrix, Matrix],
  noise: number,
): void {
  const target = unwrapped(parameter);
  const [experts, hidden, , width] = (view.length === 4 ? view : [1, ...view]) as [
    ...[number, number, number, number],
  ];
  const ordered = target.memory.allocate("f32", [experts, 2, width, hidden]);
  const draws = noise === 0 ? null : target.memory.allocate("f32", ordered.shape);
  if (draws !== null) fillNormal(draws, 0, 1);
  const block = width * hidden;
  for (let index = 0; index < 2 * experts; index++) {
    const { tensor, size } = matrices[index % 2]!;
    const first = Math.floor(index / 2) * block;
    // An expert narrower than the network is a slice of it, a wider one several copies.
    for (let done = 0; done < block;) {
      const from = (first + done) % tensor.size;
      const count = Math.min(tensor.size - from, block - done);
      copyElements(ordered, index * block + done, tensor, from, count);
      done += count;
    }
    if (draws !== null) addElements(ordered, draws, index * block, block, noise * size);
  }
  permuteInto(target, ordered, ordered.shape, [0, 3, 1, 2]);
}

function copyElements(
  target: DeviceTensor<"f32">,
  start: number,
  source: DeviceTensor<"f32">,
  from: number,
  count: number,
): void {
  const { kernels: k } = target.memory;
  target.storage.writes++;
  const bytes = BigInt(4 * count);
  k.check(
    k.symbols.remoe_copy(k.handle, addressOf(target, start), addressOf(source, from), bytes),
    "copy",
  );
}

/** target += factor · source, over the same range of elements. */
function addElements(
  target: DeviceTensor<"f32">,
  source: DeviceTensor<"f32">,
  start: number,
  count: number,
  factor: number,
): void {
  const { kernels: k } = target.memory;
  target.storage.writes++;
  k.check(
    k.symbols.remoe_accumulate(
      k.handle,
      DTYPE_CODE.f32,
      addressOf(target, start),
      DTYPE_CODE.f32,
      addressOf(source, start),
      factor,
      BigInt(count),
    ),
    "accumulate",
  );
}

function addressOf(tensor: DeviceTensor<"f32">, element: number): bigint {
  return tensor.address + BigInt(4 * element);
}
