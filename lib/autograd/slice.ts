/** Slicing and concatenation along one axis. @module */

import { requireOptions, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { operands, real, realOperand, requireOneType } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { axisOf, showShape } from "../tensor/shape_math.ts";
import type { Resized, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { writeGradient } from "./contribute.ts";
import { reshape, rows } from "./layout.ts";
import { permute } from "./permute.ts";

/** Options of {@linkcode slice}. */
export interface SliceOptions<Axis extends number = number> {
  /** The axis to slice, counted from the end if negative. */
  axis: Axis;
  /** First position, from 0. Default 0. */
  start?: number;
  /** End position, exclusive. Default the axis's size. */
  end?: number;
}

/** Options of {@linkcode concatenate}. */
export interface ConcatenateOptions<Axis extends number = number> {
  /** The axis to join along, counted from the end if negative. */
  axis: Axis;
}

type Cube = readonly [number, number, number];

function product(sizes: Shape): number {
  return sizes.reduce((all, size) => all * size, 1);
}

/** Moves an axis to the front, merging the axes before it and those after it. */
function toFront<D extends Real>(x: Tensor<D>, axis: number): Tensor<D, Cube> {
  const { shape } = x;
  const sizes = [product(shape.slice(0, axis)), shape[axis]!, product(shape.slice(axis + 1))];
  const three = reshape(x, sizes as unknown as Cube);
  return axis === 0 ? reshape(three, [sizes[1]!, 1, sizes[2]!]) : permute(three, [1, 0, 2]);
}

/** Undoes {@linkcode toFront}. */
function fromFront<D extends Real>(x: Tensor<D, Cube>, axis: number, shape: Shape): Tensor<D> {
  return reshape(axis === 0 ? x : permute(x, [1, 0, 2]), shape);
}

/**
 * Copies a range of one axis.
 *
 * @param x An f32 or bf16 tensor with at least one axis.
 * @param options The axis and the range.
 * @returns Positions `start` to `end - 1` of that axis, and all of the other axes.
 * @throws {RangeError} If there is no such axis, or the range is empty or out of bounds.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, slice } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 2, 3, 4, 5, 6], [2, 3]);
 * const y = slice(x, { axis: -1, start: 1 }); // Tensor<"f32", readonly [2, number]>
 * assert((await read(y)).join() === "2,3,5,6");
 * ```
 */
export function slice<S extends Shape, const Axis extends number, D extends Real = "f32">(
  x: Tensor<D, S>,
  options: SliceOptions<Axis>,
): Tensor<D, Resized<S, Axis>> {
  realOperand("slice", x);
  requireOptions("slice", options, { axis: true, start: true, end: true });
  const axis = axisOf("slice", x.shape, options.axis);
  const size = x.shape[axis]!;
  const { start = 0, end = size } = options;
  const isWithin = Number.isInteger(start) && Number.isInteger(end) &&
    0 <= start && start < end && end <= size;
  if (!isWithin) {
    throw new RangeError(
      `Cannot slice ${
        showShape(x.shape)
      } from ${start} to ${end} on axis ${options.axis}: it needs ` +
        `integers 0 <= start < end <= ${size}`,
    );
  }
  const stretch = rows<readonly [number, number], D>(toFront(x, axis), start, end);
  const shape = x.shape.map((whole, at) => at === axis ? end - start : whole);
  return fromFront(stretch, axis, shape) as unknown as Tensor<D, Resized<S, Axis>>;
}

/**
 * Joins tensors along one axis, in order.
 *
 * @param tensors At least one f32 or bf16 tensor, all of one type; their sizes must match on every
 * other axis.
 * @param options The axis.
 * @returns A new tensor, whose size on the axis is the sum of theirs.
 * @throws {ShapeMismatchError} If another axis or the number of axes differs.
 * @throws {RangeError} If there is no such axis, or no tensor.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { concatenate, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.from([1, 2, 3, 4], [2, 2]), y = device.from([5, 6], [2, 1]);
 * const z = concatenate([x, y], { axis: 1 }); // Tensor<"f32", readonly [2, number]>
 * assert((await read(z)).join() === "1,2,5,3,4,6");
 * ```
 */
export function concatenate<S extends Shape, const Axis extends number, D extends Real = "f32">(
  tensors: readonly [Tensor<D, S>, ...Tensor<NoInfer<D>>[]],
  options: ConcatenateOptions<Axis>,
): Tensor<D, Resized<S, Axis>> {
  if (!Array.isArray(tensors)) {
    throw new TypeError(`Cannot concatenate ${shown(tensors)}: give an array of tensors`);
  }
  const given = operands(
    "concatenate",
    ...tensors.map((tensor) => real<Tensor<D>>(tensor)),
  ) as readonly DeviceTensor<D>[];
  requireOptions("concatenate", options);
  const [first] = given;
  if (first === undefined) throw new RangeError("Cannot concatenate: give at least one tensor");
  const axis = axisOf("concatenate", first.shape, options.axis);
  for (const tensor of given) {
    requireOneType("concatenate", first, tensor);
    const { shape } = tensor;
    const fits = shape.length === first.shape.length &&
      shape.every((size, at) => at === axis || size === first.shape[at]);
    if (!fits) {
      throw new ShapeMismatchError(
        `Cannot concatenate ${showShape(first.shape)} and ${showShape(shape)} on axis ` +
          `${options.axis}: every other size must be equal`,
      );
    }
  }
  const parts = given.map((tensor) => toFront(tensor, axis));
  const total = parts.reduce((sum, { shape }) => sum + shape[0], 0);
  const shape = first.shape.map((size, at) => at === axis ? total : size);
  const whole = stackRows(parts.map((part) => realOperand("concatenate", part)), total);
  return fromFront(whole, axis, shape) as unknown as Tensor<D, Resized<S, Axis>>;
}

/** Joins on the first axis, where parts lie one after the other. */
function stackRows<D extends Real>(
  parts: readonly DeviceTensor<D, Cube>[],
  total: number,
): DeviceTensor<D, Cube> {
  const { memory, dtype, shape: [, outer, inner] } = parts[0]!;
  const bytesOf = (elements: number): bigint => BigInt(DTYPE_BYTES[dtype] * elements);
  const { kernels: k } = memory;
  const out = memory.allocate(dtype, [total, outer, inner] as const);
  let offset = 0n;
  const offsets = parts.map(({ address, size }) => {
    const at = offset;
    k.check(
      k.symbols.remoe_copy(k.handle, out.address + at, address, bytesOf(size)),
      "concatenate",
    );
    offset += bytesOf(size);
    return at;
  });
  recordNode({
    operation: "concatenate",
    inputs: parts,
    outputs: [out],
    saved: [],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      parts.forEach((part, i) => {
        writeGradient(gradients, part, ({ tensor, accumulate }) => {
          const [to, from] = [tensor.address, dy.address + offsets[i]!];
          const code = DTYPE_CODE[dtype];
          const status = accumulate === 0
            ? k.symbols.remoe_copy(k.handle, to, from, bytesOf(part.size))
            : k.symbols.remoe_accumulate(k.handle, code, to, code, from, 1, BigInt(part.size));
          k.check(status, "gradient of concatenate");
        });
      });
    },
  });
  return out;
}
