/** Slicing and concatenation along one axis. @module */

import { requireOptions, shown } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import { operands } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { axisOf, showShape } from "../tensor/shape_math.ts";
import type { Resized, Shape } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
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

function product(sizes: Shape): number {
  return sizes.reduce((all, size) => all * size, 1);
}

/** Moves an axis to the front, merging the axes before it and those after it. */
function toFront(x: Tensor<"f32">, axis: number): Tensor<"f32", readonly [number, number, number]> {
  const { shape } = x;
  const sizes = [product(shape.slice(0, axis)), shape[axis]!, product(shape.slice(axis + 1))];
  const three = reshape(x, sizes as unknown as readonly [number, number, number]);
  return axis === 0 ? reshape(three, [sizes[1]!, 1, sizes[2]!]) : permute(three, [1, 0, 2]);
}

/** Undoes {@linkcode toFront}. */
function fromFront(
  x: Tensor<"f32", readonly [number, number, number]>,
  axis: number,
  shape: Shape,
): Tensor<"f32"> {
  return reshape(axis === 0 ? x : permute(x, [1, 0, 2]), shape);
}

/**
 * Copies a range of one axis.
 *
 * @param x An fp32 tensor with at least one axis.
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
export function slice<S extends Shape, const Axis extends number>(
  x: Tensor<"f32", S>,
  options: SliceOptions<Axis>,
): Tensor<"f32", Resized<S, Axis>> {
  operands("slice", x);
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
  const stretch = rows(toFront(x, axis), start, end);
  const shape = x.shape.map((whole, at) => at === axis ? end - start : whole);
  return fromFront(stretch, axis, shape) as unknown as Tensor<"f32", Resized<S, Axis>>;
}

/**
 * Joins tensors along one axis, in order.
 *
 * @param tensors At least one fp32 tensor; their sizes must match on every other axis.
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
export function concatenate<S extends Shape, const Axis extends number>(
  tensors: readonly [Tensor<"f32", S>, ...Tensor<"f32">[]],
  options: ConcatenateOptions<Axis>,
): Tensor<"f32", Resized<S, Axis>> {
  if (!Array.isArray(tensors)) {
    throw new TypeError(`Cannot concatenate ${shown(tensors)}: give an array of tensors`);
  }
  const given = operands("concatenate", ...tensors) as readonly DeviceTensor<"f32">[];
  requireOptions("concatenate", options);
  const [first] = given;
  if (first === undefined) throw new RangeError("Cannot concatenate: give at least one tensor");
  const axis = axisOf("concatenate", first.shape, options.axis);
  for (const { shape } of given) {
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
  const whole = stackRows(operands("concatenate", ...parts) as readonly Part[], total);
  return fromFront(whole, axis, shape) as unknown as Tensor<"f32", Resized<S, Axis>>;
}

type Part = DeviceTensor<"f32", readonly [number, number, number]>;

/** Joins on the first axis, where parts lie one after the other. */
function stackRows(parts: readonly Part[], total: number): Part {
  const { memory, shape: [, outer, inner] } = parts[0]!;
  const { kernels: k } = memory;
  const out = memory.allocate("f32", [total, outer, inner] as const);
  let offset = 0n;
  const offsets = parts.map(({ address, size }) => {
    const at = offset;
    k.check(
      k.symbols.remoe_copy(k.handle, out.address + at, address, BigInt(4 * size)),
      "concatenate",
    );
    offset += BigInt(4 * size);
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
        const target = gradients.into(part);
        if (target === null) return;
        const [to, from] = [target.tensor.address, dy.address + offsets[i]!];
        const count = BigInt(part.size);
        const status = target.accumulate === 0
          ? k.symbols.remoe_copy(k.handle, to, from, 4n * count)
          : k.symbols.remoe_accumulate(
            k.handle,
            DTYPE_CODE.f32,
            to,
            DTYPE_CODE.f32,
            from,
            1,
            count,
          );
        k.check(status, "gradient of concatenate");
      });
    },
  });
  return out;
}
