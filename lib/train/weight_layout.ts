/**
 * How weights are named and laid out in `model.safetensors`: as Hugging Face's Llama and
 * Mixtral do, one matrix a projection, `[out, in]`. Here a layer keeps `[in, out]`, queries,
 * keys and values side by side, and all experts in one tensor.
 *
 * @module
 */

import { permuteInto } from "../autograd/layout.ts";
import type { Parameter } from "../autograd/parameter.ts";
import { CheckpointError } from "../errors.ts";
import { elementCount, showShape } from "../tensor/shape_math.ts";
import { type DeviceTensor, internal } from "../tensor/tensor.ts";
import { download, upload } from "../tensor/transfer.ts";
import type { TrainConfig } from "./config.ts";
import type { SafetensorsFile, TensorEntry } from "./safetensors.ts";

/** A parameter as the file holds it. */
interface Layout {
  /** The parameter's axes, split where the file splits them. */
  readonly view: readonly number[];
  /** Order of those axes in the file. */
  readonly order: readonly number[];
  /** The file's tensors, one after the other in that order. */
  readonly parts: readonly Part[];
}

/** A tensor of the file. */
interface Part {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Bytes of an fp32. */
const BYTES = 4;

/** The file's tensors of a model, each read from the device when its turn comes. */
export function* modelEntries(
  parameters: Iterable<Parameter>,
  config: TrainConfig,
): Generator<TensorEntry> {
  for (const parameter of parameters) {
    const layout = layoutOf(parameter, config);
    let bytes: Uint8Array | null = null;
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
        read(): Uint8Array {
          bytes ??= inFileOrder(parameter, layout);
          const part = bytes.subarray(start, start + length);
          if (isLast) bytes = null; // the parts are read in order: the last one lets go
          return part;
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
  const expected = new Set<string>();
  for (const parameter of parameters) {
    const layout = layoutOf(parameter, config);
    const bytes = new Uint8Array(parameter.size * BYTES);
    let offset = 0;
    for (const { name, shape } of layout.parts) {
      const part = file.read(name, { dtype: "F32", shape });
      bytes.set(part, offset);
      offset += part.length;
      expected.add(name);
    }
    fromFileOrder(parameter, layout, bytes);
  }
  const foreign = [...file.tensors.keys()].find((name) => !expected.has(name));
  if (foreign !== undefined) {
    throw new CheckpointError(
      `Cannot load ${file.path}: it holds ${foreign}, which this model does not have`,
    );
  }
}

function inFileOrder(parameter: Parameter, layout: Layout): Uint8Array {
  const source = internal(parameter);
  if (isIdentity(layout.order)) return bytesOf(download(source));
  using scope = source.memory.openScope();
  const ordered = scope.memory.allocate("f32", parameter.shape);
  permuteInto(ordered, source, layout.view, layout.order);
  return bytesOf(download(ordered));
}

function fromFileOrder(
  parameter: Parameter,
  { view, order }: Layout,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const target = internal(parameter);
  if (isIdentity(order)) return upload(target, bytes);
  using scope = target.memory.openScope();
  const ordered: DeviceTensor<"f32"> = scope.memory.allocate("f32", parameter.shape);
  upload(ordered, bytes);
  const inverse = order.map((_, axis) => order.indexOf(axis));
  permuteInto(target, ordered, order.map((axis) => view[axis]!), inverse);
}

function isIdentity(order: readonly number[]): boolean {
  return order.every((axis, i) => axis === i);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function layoutOf(parameter: Parameter, config: TrainConfig): Layout {
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

/** Vectors and the embedding are alike on both sides; other matrices are transposed. */
function plainLayout(name: string, shape: readonly number[]): Layout {
  const isProjection = shape.length === 2 && !name.endsWith("embed_tokens.weight");
  return isProjection
    ? { view: shape, order: [1, 0], parts: [{ name, shape: [shape[1]!, shape[0]!] }] }
    : { view: shape, order: shape.map((_, axis) => axis), parts: [{ name, shape }] };
}

/** The tensors that hold several matrices of the file. */
function fusedLayout(
  name: string,
  shape: readonly number[],
  config: TrainConfig,
): Layout | undefined {
  const prefix = name.slice(0, name.lastIndexOf("."));
  if (name.endsWith(".qkv_proj.weight")) return qkvLayout(name, shape, config);
  if (name.endsWith(".experts.w1")) return gateUpLayout(prefix, shape, config);
  if (name.endsWith(".experts.w2")) return downLayout(prefix, shape, config);
  return undefined;
}

function qkvLayout(name: string, shape: readonly number[], { model }: TrainConfig): Layout {
  const [hidden = 0] = shape;
  const headDim = hidden / model.heads;
  const part = (which: string, heads: number): Part => ({
    name: name.replace("qkv_proj", `${which}_proj`),
    shape: [heads * headDim, hidden],
  });
  return {
    view: shape,
    order: [1, 0],
    parts: [part("q", model.heads), part("k", model.groups), part("v", model.groups)],
  };
}

/** `[E, D, 2W]` to, for each expert, the gate's and the up projection's `[W, D]`. */
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

/** `[E, W, D]` to, for each expert, the down projection's `[D, W]`. */
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

/** Mixtral's names of an expert's matrices; Llama's where the model is dense. */
function expertName(
  prefix: string,
  expert: number,
  which: "gate" | "up" | "down",
  { moe }: TrainConfig,
): string {
  if (moe.router === "dense") {
    return `${prefix.replace(".block_sparse_moe.experts", ".mlp")}.${which}_proj.weight`;
  }
  return `${prefix}.${expert}.${{ gate: "w1", up: "w3", down: "w2" }[which]}.weight`;
}

/** Moments are this project's own affair: they keep the layout of the device. */
export function* momentEntries(
  moments: Iterable<{ name: string; tensor: DeviceTensor<"f32"> }>,
): Generator<TensorEntry> {
  for (const { name, tensor } of moments) {
    yield { name, dtype: "F32", shape: tensor.shape, read: () => bytesOf(download(tensor)) };
  }
}

/** Fills moments from a file. */
export function loadMoments(
  moments: Iterable<{ name: string; tensor: DeviceTensor<"f32"> }>,
  file: SafetensorsFile,
): void {
  for (const { name, tensor } of moments) {
    upload(tensor, file.read(name, { dtype: "F32", shape: tensor.shape }));
  }
}
