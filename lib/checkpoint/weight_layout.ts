/**
 * Names and layouts of weights in `model.safetensors`. The file follows Hugging Face's Llama and
 * Mixtral: one `[out, in]` matrix per projection. In memory a layer keeps `[in, out]`, with
 * queries, keys and values side by side and all experts in one tensor.
 *
 * @module
 */

import { areFinite } from "../autograd/finite.ts";
import { permuteInto } from "../autograd/layout.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { CheckpointError } from "../errors.ts";
import { routerOf } from "../moe/router_of.ts";
import { elementCount, inversePermutation, showShape } from "../tensor/shape_math.ts";
import { unwrapped } from "../tensor/operands.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { uploadBytes } from "../tensor/transfer.ts";
import type { ModelConfig, TrainConfig } from "../config/config.ts";
import { headDim } from "../config/head_dim.ts";
import { firstNonFinite, PIECE } from "./finite_values.ts";
import type { SafetensorsFile } from "./safetensors.ts";
import type { TensorEntry } from "./write_safetensors.ts";

/** How a parameter maps to tensors of the file. */
export interface Layout {
  /** The parameter's axes, split where the file splits them. */
  readonly view: readonly number[];
  /** The order of those axes in the file. */
  readonly order: readonly number[];
  /** The file's tensors, contiguous in that order. */
  readonly parts: readonly Part[];
}

/** A tensor in the file. */
interface Part {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Bytes of an fp32. */
const BYTES = 4;

/** Lists a model's tensors as the file holds them, each read from the device in its turn. */
export function* modelEntries(
  parameters: Iterable<Parameter>,
  config: TrainConfig,
): Generator<TensorEntry> {
  const buffer = new Uint8Array(PIECE);
  for (const parameter of parameters) {
    const layout = layoutOf(parameter, config);
    let ordered: DeviceTensor<"f32"> | null = null;
    let offset = 0;
    for (const { name, shape } of layout.parts) {
      const start = offset;
      const length = elementCount(shape) * BYTES;
      offset += length;
      const isLast = offset === parameter.size * BYTES;
      yield {
        name,
        dtype: "F32",
        shape,
        *read() {
          ordered ??= inFileOrder(parameter, layout);
          yield* pieces(ordered, start, length, buffer);
          if (!isLast) return;
          // The parts are read in order, so the last one frees the copy.
          if (ordered !== unwrapped(parameter)) ordered[Symbol.dispose]();
          ordered = null;
        },
      };
    }
  }
}

/** Fills a model from a file. */
export function loadModel(
  parameters: Iterable<Parameter>,
  config: TrainConfig,
  file: SafetensorsFile,
): void {
  const buffer = new Uint8Array(PIECE);
  const expected = new Set<string>();
  const targets: DeviceTensor<"f32">[] = [];
  for (const parameter of parameters) {
    const { view, order, parts } = layoutOf(parameter, config);
    const target = unwrapped(parameter);
    targets.push(target);
    using scope = target.memory.openScope();
    const ordered = isIdentity(order) ? target : scope.memory.allocate("f32", parameter.shape);
    let offset = 0;
    for (const { name, shape } of parts) {
      offset = fill(ordered, offset, file.pieces(name, { dtype: "F32", shape }, buffer));
      expected.add(name);
    }
    if (ordered === target) continue;
    const shape = order.map((axis) => view[axis]!);
    permuteInto(target, ordered, shape, inversePermutation(order));
  }
  checkFinite(targets, expected, file);
  const foreign = [...file.tensors.keys()].find((name) => !expected.has(name));
  if (foreign !== undefined) {
    throw new CheckpointError(
      `Cannot load ${file.path}: it holds ${foreign}, which this model does not have`,
    );
  }
}

/** Returns the parameter, or a copy with axes in the file's order for the caller to dispose of. */
export function inFileOrder(parameter: Parameter, { view, order }: Layout): DeviceTensor<"f32"> {
  const source = unwrapped(parameter);
  if (isIdentity(order)) return source;
  const ordered = source.memory.allocateAtRoot("f32", parameter.shape);
  permuteInto(ordered, source, view, order);
  return ordered;
}

/** Copies a range of a tensor's bytes to the host; each piece overwrites the last. */
function* pieces(
  { address, memory }: DeviceTensor,
  start: number,
  length: number,
  buffer: Uint8Array<ArrayBuffer>,
): Generator<Uint8Array<ArrayBuffer>> {
  for (let done = 0; done < length; done += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
    memory.kernels.readBytes(address + BigInt(start + done), piece);
    yield piece;
  }
}

/** Copies pieces into a tensor from byte `offset`; returns the byte after the last. */
export function fill(
  tensor: DeviceTensor,
  offset: number,
  data: Iterable<Uint8Array<ArrayBuffer>>,
): number {
  let end = offset;
  for (const piece of data) {
    uploadBytes(tensor, end, piece);
    end += piece.length;
  }
  return end;
}

function isIdentity(order: readonly number[]): boolean {
  return order.every((axis, i) => axis === i);
}

/** The layout of a parameter in the file. */
export function layoutOf(parameter: Parameter, config: TrainConfig): Layout {
  const { name, shape } = parameter;
  const layout = fusedLayout(name, shape, config) ?? plainLayout(name, shape);
  const filled = layout.parts.reduce((sum, part) => sum + elementCount(part.shape), 0);
  if (filled !== parameter.size) {
    throw new CheckpointError(
      `Cannot lay out ${name} of shape ${showShape(shape)}: its parts hold ${filled} elements`,
    );
  }
  return layout;
}

/** Vectors and the embedding have the same layout in the file; other matrices are transposed. */
function plainLayout(name: string, shape: readonly number[]): Layout {
  const isProjection = shape.length === 2 && !name.endsWith("embed_tokens.weight");
  return isProjection
    ? { view: shape, order: [1, 0], parts: [{ name, shape: [shape[1]!, shape[0]!] }] }
    : { view: shape, order: shape.map((_, axis) => axis), parts: [{ name, shape }] };
}

/** The layout of tensors that hold several of the file's matrices; undefined for others. */
function fusedLayout(
  name: string,
  shape: readonly number[],
  config: TrainConfig,
): Layout | undefined {
  const prefix = name.slice(0, name.lastIndexOf("."));
  if (name.endsWith(".qkv_proj.weight")) return qkvLayout(name, shape, config);
  if (name.endsWith(".qkv_proj.bias")) return qkvBiasLayout(name, shape, config);
  if (name.endsWith(".gate_up_proj.weight")) return feedForwardLayout(name, shape);
  if (name.endsWith(".experts.w1")) return gateUpLayout(prefix, shape, config);
  if (name.endsWith(".experts.w2")) return downLayout(prefix, shape, config);
  return undefined;
}

function qkvLayout(name: string, shape: readonly number[], { model }: TrainConfig): Layout {
  const [hidden = 0] = shape;
  const parts = qkvParts(name, model, (columns) => [columns, hidden]);
  return { view: shape, order: [1, 0], parts };
}

function qkvBiasLayout(name: string, shape: readonly number[], { model }: TrainConfig): Layout {
  return { view: shape, order: [0], parts: qkvParts(name, model, (columns) => [columns]) };
}

/** The file's tensors of a joint projection's weight or bias. */
function qkvParts(
  name: string,
  model: ModelConfig,
  shapeOf: (columns: number) => readonly number[],
): Part[] {
  const part = (which: string, heads: number): Part => ({
    name: name.replace("qkv_proj", `${which}_proj`),
    shape: shapeOf(heads * headDim(model)),
  });
  return [part("q", model.heads), part("k", model.groups), part("v", model.groups)];
}

/** Splits a shared expert's `[D, 2W]` into its gate and up projections, `[W, D]`. */
function feedForwardLayout(name: string, [hidden = 0, double = 0]: readonly number[]): Layout {
  const width = double / 2;
  const part = (which: string): Part => ({
    name: name.replace("gate_up_proj", `${which}_proj`),
    shape: [width, hidden],
  });
  return { view: [hidden, 2, width], order: [1, 2, 0], parts: [part("gate"), part("up")] };
}

/** Splits `[E, D, 2W]` into each expert's gate and up projections, `[W, D]`. */
function gateUpLayout(
  prefix: string,
  [experts = 0, hidden = 0, double = 0]: readonly number[],
  config: TrainConfig,
): Layout {
  const width = double / 2;
  return {
    view: [experts, hidden, 2, width],
    order: [0, 2, 3, 1],
    parts: Array.from({ length: experts }, (_, e) => [
      { name: expertName(prefix, e, "gate", config), shape: [width, hidden] },
      { name: expertName(prefix, e, "up", config), shape: [width, hidden] },
    ]).flat(),
  };
}

/** Splits `[E, W, D]` into each expert's down projection, `[D, W]`. */
function downLayout(
  prefix: string,
  shape: readonly number[],
  config: TrainConfig,
): Layout {
  const [experts = 0, width = 0, hidden = 0] = shape;
  return {
    view: shape,
    order: [0, 2, 1],
    parts: Array.from({ length: experts }, (_, e) => ({
      name: expertName(prefix, e, "down", config),
      shape: [hidden, width],
    })),
  };
}

/** Names an expert's matrices as Mixtral does, or as Llama does in a dense model. */
function expertName(
  prefix: string,
  expert: number,
  which: "gate" | "up" | "down",
  { moe }: TrainConfig,
): string {
  if (!routerOf(moe).routed) {
    return `${prefix.replace(".block_sparse_moe.experts", ".mlp")}.${which}_proj.weight`;
  }
  return `${prefix}.${expert}.${{ gate: "w1", up: "w3", down: "w2" }[which]}.weight`;
}

/** A tensor and its name in the file. */
interface NamedTensor {
  readonly name: string;
  readonly tensor: DeviceTensor<"f32">;
}

/** Tensors laid out as on the device: the optimizer's moments, or the weights of a user's model. */
export function* tensorEntries(tensors: Iterable<NamedTensor>): Generator<TensorEntry> {
  const buffer = new Uint8Array(PIECE);
  for (const { name, tensor } of tensors) {
    const { shape } = tensor;
    const read = () => pieces(tensor, 0, tensor.size * BYTES, buffer);
    yield { name, dtype: "F32", shape, read };
  }
}

/** Fills tensors from a file, then checks that they are finite. */
export function loadTensors(tensors: Iterable<NamedTensor>, file: SafetensorsFile): void {
  const loaded = Array.from(tensors);
  fillTensors(loaded, file);
  checkFinite(loaded.map(({ tensor }) => tensor), loaded.map(({ name }) => name), file);
}

/** Fills tensors from a file whose values are known to be finite. */
export function fillTensors(tensors: Iterable<NamedTensor>, file: SafetensorsFile): void {
  const buffer = new Uint8Array(PIECE);
  for (const { name, tensor } of tensors) {
    fill(tensor, 0, file.pieces(name, { dtype: "F32", shape: tensor.shape }, buffer));
  }
}

/** Refuses values that would turn everything computed from them into NaN. */
export function checkFinite(
  tensors: readonly DeviceTensor<"f32">[],
  names: Iterable<string>,
  file: SafetensorsFile,
): void {
  // Nearly always all values are finite, and one call on the device tells.
  if (areFinite(tensors)) return;
  const bad = firstNonFinite(names, file);
  if (bad === null) return;
  throw new CheckpointError(
    `Cannot load ${file.path}: tensor ${bad.name} is not finite, it holds ${bad.value}; use an ` +
      `earlier checkpoint`,
  );
}
