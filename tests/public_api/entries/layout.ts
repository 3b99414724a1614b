/** Functions that permute, slice, concatenate and convert. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { demand, demandShape, demandTensor, elements, type Entry, HostTensor } from "../entry.ts";

const FLOATS: readonly DType[] = ["f32", "bf16"];
const ALL: readonly DType[] = ["f32", "bf16", "i32", "f64"];

function permuted(x: HostTensor, order: readonly number[]): HostTensor {
  const shape = order.map((axis) => x.shape[axis]!);
  const strides = x.shape.map((_, axis) => elements(x.shape.slice(axis + 1)));
  const data = Array.from({ length: x.data.length }, (_, i) => {
    let [rest, place] = [i, 0];
    for (let to = shape.length - 1; to >= 0; to--) {
      place += (rest % shape[to]!) * strides[order[to]!]!;
      rest = Math.floor(rest / shape[to]!);
    }
    return x.data[place]!;
  });
  return new HostTensor(x.dtype, shape, data);
}

/** A nonnegative axis number. */
export function axisOf(axis: unknown, rank: number): number {
  demand(Number.isInteger(axis) && (axis as number) >= -rank && (axis as number) < rank, "axis");
  return (axis as number) < 0 ? (axis as number) + rank : axis as number;
}

function cut(x: HostTensor, axis: number, start: unknown, end: unknown): HostTensor {
  demand(Number.isInteger(start) && Number.isInteger(end), "no integers");
  const [from, to, size] = [start as number, end as number, x.shape[axis]!];
  demand(0 <= from && from < to && to <= size, "out of range");
  const inner = elements(x.shape.slice(axis + 1));
  const data = x.data.filter((_, i) => {
    const at = Math.floor(i / inner) % size;
    return from <= at && at < to;
  });
  return new HostTensor(x.dtype, x.shape.with(axis, to - from), data);
}

function joined(tensors: unknown, options: unknown): HostTensor {
  demand(Array.isArray(tensors) && tensors.length > 0, "no tensors");
  const list: HostTensor[] = tensors.map((x) => (demandTensor(x, FLOATS), x));
  demand(typeof options === "object" && options !== null, "no options");
  const first = list[0]!;
  const axis = axisOf((options as { axis?: unknown }).axis, first.shape.length);
  for (const { dtype, shape } of list) {
    demand(dtype === first.dtype, "types");
    demand(shape.with(axis, 0).join() === first.shape.with(axis, 0).join(), "shapes");
    demand(shape.length === first.shape.length, "ranks");
  }
  const size = list.reduce((sum, { shape }) => sum + shape[axis]!, 0);
  const [outer, inner] = [first.shape.slice(0, axis), first.shape.slice(axis + 1)].map(elements);
  const data = Array.from({ length: outer! }, (_, row) =>
    list.flatMap(({ shape, data }) => {
      const width = shape[axis]! * inner!;
      return data.slice(row * width, (row + 1) * width);
    })).flat();
  return new HostTensor(first.dtype, first.shape.with(axis, size), data);
}

/** Layout functions. */
export const layout: readonly Entry[] = [
  {
    of: "reshape",
    make: (w) => [w.f32([2, 6]), [3, 4]],
    call: remoe.reshape,
    right: (x, shape) => {
      demandTensor(x, ALL);
      demandShape(shape);
      demand(elements(shape) === x.data.length, "sizes");
      return new HostTensor(x.dtype, shape, x.data);
    },
  },
  {
    of: "transpose",
    make: (w) => [w.f32([2, 3, 4])],
    call: remoe.transpose,
    right: (x) => {
      demandTensor(x, ALL);
      const rank = x.shape.length;
      demand(rank > 1, "axes");
      const order = x.shape.map((_, axis) => axis);
      return permuted(x, [...order.slice(0, -2), rank - 1, rank - 2]);
    },
  },
  {
    of: "permute",
    make: (w) => [w.f32([2, 3, 4]), [2, 0, 1]],
    call: remoe.permute,
    right: (x, order) => {
      demandTensor(x, ALL);
      demand(Array.isArray(order) && order.length === x.shape.length, "order");
      demand(x.shape.every((_, axis) => order.includes(axis)), "order");
      return permuted(x, order);
    },
  },
  {
    of: "rows",
    make: (w) => [w.f32([4, 3]), 1, 3],
    call: remoe.rows,
    right: (x, start, end) => {
      demandTensor(x, ALL);
      demand(x.shape.length > 0, "a scalar");
      return cut(x, 0, start, end);
    },
  },
  {
    of: "slice",
    make: (w) => [w.f32([2, 5, 3]), { axis: 1, start: 1, end: 4 }],
    call: remoe.slice,
    right: (x, options) => {
      demandTensor(x, ALL);
      demand(typeof options === "object" && options !== null, "options");
      const axis = axisOf(options.axis, x.shape.length);
      const { start = 0, end = x.shape[axis] } = options;
      return cut(x, axis, start, end);
    },
  },
  {
    of: "concatenate",
    make: (w) => [[w.f32([2, 1, 3]), w.f32([2, 2, 3])], { axis: 1 }],
    call: remoe.concatenate,
    right: joined,
  },
  {
    of: "cast",
    make: (w) => [w.f32([2, 3]), "bf16"],
    call: remoe.cast,
    right: (x, dtype) => {
      demandTensor(x, ALL);
      demand(ALL.includes(dtype), "type");
      // The numbers of the table are exact in bf16.
      const data = dtype === "i32" ? x.data.map(Math.trunc) : x.data;
      return new HostTensor(dtype, x.shape, data);
    },
  },
];
