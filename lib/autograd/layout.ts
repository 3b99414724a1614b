/** Operations that move or convert elements: reshape, transpose, cast, rows. @module */

import { requireOneOf } from "../arguments.ts";
import { ShapeMismatchError } from "../errors.ts";
import { type DType, DTYPE_BYTES, DTYPE_CODE, type Real } from "../tensor/dtype.ts";
import { any, operands, realOperand, requireOneType, unwrapped } from "../tensor/operands.ts";
import { recordNode } from "../tensor/recorder.ts";
import { checkedShape, denseStrides, showShape, stridedLayout } from "../tensor/shape_math.ts";
import type { Shape, Transpose } from "../tensor/shape.ts";
import type { DeviceTensor, Tensor } from "../tensor/tensor.ts";
import { castInto, fill } from "../tensor/transfer.ts";
import { addTo, contribute, writeGradient } from "./contribute.ts";

/**
 * Reinterprets a tensor in another shape, without a copy.
 *
 * @param x Any tensor.
 * @param shape Sizes with the same number of elements.
 * @returns A view of the same memory.
 * @throws {ShapeMismatchError} If the numbers of elements differ.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, reshape } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = reshape(device.zeros([2, 6]), [3, 4]);
 * assert(y.shape[0] === 3);
 * ```
 */
export function reshape<D extends DType, const S extends Shape>(
  x: Tensor<D>,
  shape: S,
): Tensor<D, S> {
  const [source] = operands("reshape", any(x)) as readonly [DeviceTensor<D>];
  const checked = checkedShape(shape);
  if (checked.size !== source.size) {
    throw new ShapeMismatchError(
      `Cannot reshape ${showShape(source.shape)} to ${showShape(checked.shape)}: ` +
        `${source.size} elements do not fill ${checked.size}`,
    );
  }
  const out = source.memory.view(source, checked);
  recordNode({
    operation: "reshape",
    inputs: [source],
    outputs: [out],
    saved: [source],
    backward(gradients) {
      const dy = gradients.of(out);
      const target = dy && gradients.into(source);
      if (!dy || !target) return;
      addTo(target, dy);
    },
  });
  return out;
}

/** Permutes axes: axis `i` of `out` is axis `order[i]` of `x`, read as dense over `shape`. */
export function permuteInto(
  out: DeviceTensor,
  x: DeviceTensor,
  shape: Shape,
  order: readonly number[],
): void {
  requireOneType("permute", x, out);
  const strides = denseStrides(shape);
  const { kernels: k } = x.memory;
  out.storage.writes++;
  k.check(
    k.symbols.remoe_copy_strided(
      k.handle,
      DTYPE_CODE[x.dtype],
      out.address,
      x.address,
      stridedLayout(order.map((axis) => shape[axis]!), order.map((axis) => strides[axis]!)),
    ),
    "permute",
  );
}

/** out[..., j, i] = x[..., i, j]. */
function transposeInto(out: DeviceTensor, x: DeviceTensor): void {
  const last = x.shape.length - 1;
  const order = x.shape.map((_, axis) => axis);
  [order[last], order[last - 1]] = [last - 1, last];
  permuteInto(out, x, x.shape, order);
}

/** Swaps the last two sizes. */
function swapLast(shape: Shape): number[] {
  return [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
}

/**
 * Swaps the last two axes, into new memory.
 *
 * @param x A tensor with at least two axes.
 * @returns `[…, N, M]` for `[…, M, N]`.
 * @throws {ShapeMismatchError} If the tensor has fewer than two axes.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, transpose } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = transpose(device.from([1, 2, 3, 4], [2, 2]));
 * assert((await read(y)).join() === "1,3,2,4");
 * ```
 */
export function transpose<D extends DType, S extends Shape>(
  x: Tensor<D, S>,
): Tensor<D, Transpose<S>> {
  const [source] = operands("transpose", any(x)) as readonly [DeviceTensor<D>];
  if (source.shape.length < 2) {
    throw new ShapeMismatchError(
      `Cannot transpose ${showShape(source.shape)}: it needs at least two axes`,
    );
  }
  const out = source.memory.allocate(source.dtype, swapLast(source.shape));
  transposeInto(out, source);
  recordNode({
    operation: "transpose",
    inputs: [source],
    outputs: [out],
    saved: [],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      contribute(gradients, source, source.shape, (dx) => transposeInto(dx, dy));
    },
  });
  return out as unknown as Tensor<D, Transpose<S>>;
}

/**
 * Converts to another element type: bf16 rounds to nearest even, i32 truncates.
 *
 * Between floating-point types, gradients pass through, rounded where the input is bf16.
 *
 * @param x Any tensor.
 * @param dtype The target element type.
 * @returns A new tensor of that type.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { cast, Device, read } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = cast(device.from([1.001], [1]), "bf16");
 * assert((await read(y))[0] === 1);
 * ```
 */
export function cast<D extends DType, S extends Shape>(
  x: Tensor<DType, S>,
  dtype: D,
): Tensor<D, S> {
  const [source] = operands("cast", any(x));
  requireOneOf("cast", "dtype", dtype, Object.keys(DTYPE_CODE));
  const out = source.memory.allocate(dtype, source.shape);
  castInto(out, source);
  if (source.dtype !== "i32" && dtype !== "i32") {
    recordNode({
      operation: "cast",
      inputs: [source],
      outputs: [out],
      saved: [],
      backward(gradients) {
        const dy = gradients.of(out);
        if (dy) gradients.add(source, dy);
      },
    });
  }
  return out;
}

/** A tensor in fp32: itself, or a cast that the tape records. */
export function inFp32<S extends Shape>(tensor: Tensor<Real, S>): DeviceTensor<"f32", S> {
  return unwrapped(
    tensor.dtype === "f32" ? tensor as Tensor<"f32", S> : cast<"f32", S>(tensor, "f32"),
  );
}

/**
 * Copies a range of rows along the first axis.
 *
 * @param x An f32 or bf16 tensor with at least one axis.
 * @param start First row, from 0.
 * @param end End of the range, exclusive.
 * @returns Rows `start` to `end - 1`.
 * @throws {RangeError} If the range is empty or out of bounds.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, read, rows } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const y = rows(device.from([1, 2, 3, 4, 5, 6], [3, 2]), 1, 3);
 * assert((await read(y)).join() === "3,4,5,6");
 * ```
 */
export function rows<R extends Shape, D extends Real = "f32">(
  x: Tensor<D, readonly [number, ...R]>,
  start: number,
  end: number,
): Tensor<D, readonly [number, ...R]> {
  const source = realOperand("take rows of", x);
  const [count, ...rest] = source.shape;
  if (count === undefined) {
    throw new ShapeMismatchError("Cannot take rows of a scalar: it needs at least one axis");
  }
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start < end)) {
    throw new RangeError(`Cannot take rows ${start} to ${end}: they must be integers, start < end`);
  }
  if (end > count) {
    throw new RangeError(`Cannot take rows ${start} to ${end} of ${showShape(source.shape)}`);
  }
  const { kernels: k } = source.memory;
  const out = source.memory.allocate(source.dtype, [end - start, ...rest] as const);
  const rowBytes = BigInt(DTYPE_BYTES[source.dtype] * source.size / count);
  const offset = BigInt(start) * rowBytes;
  k.check(
    k.symbols.remoe_copy(
      k.handle,
      out.address,
      source.address + offset,
      BigInt(end - start) * rowBytes,
    ),
    "rows",
  );
  recordNode({
    operation: "rows",
    inputs: [source],
    outputs: [out],
    saved: [],
    backward(gradients) {
      const dy = gradients.of(out);
      if (dy === null) return;
      writeGradient(gradients, source, (dx) => {
        if (dx.accumulate === 0) fill(dx.tensor, 0);
        k.check(
          k.symbols.remoe_accumulate(
            k.handle,
            DTYPE_CODE[dx.tensor.dtype],
            dx.tensor.address + offset,
            DTYPE_CODE[dy.dtype],
            dy.address,
            1,
            BigInt(dy.size),
          ),
          "gradient of rows",
        );
      });
    },
  });
  return out as unknown as Tensor<D, readonly [number, ...R]>;
}
