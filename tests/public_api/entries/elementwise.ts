/** Arithmetic and elementwise functions. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { demand, demandTensor, elements, type Entry, HostTensor } from "../entry.ts";

const FLOATS: readonly DType[] = ["f32", "bf16"];

function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    demand(left === right || left === 1 || right === 1, `shapes [${a}] and [${b}]`);
    return Math.max(left, right);
  });
}

/** The index in a tensor of `shape`, broadcast to `out`, of element `index` of `out`. */
function source(index: number, out: readonly number[], shape: readonly number[]): number {
  let [rest, place, stride] = [index, 0, 1];
  for (let axis = 1; axis <= out.length; axis++) {
    const [whole, size] = [out.at(-axis)!, shape.at(-axis) ?? 1];
    if (axis <= shape.length && size > 1) place += (rest % whole) * stride;
    rest = Math.floor(rest / whole);
    stride *= size;
  }
  return place;
}

type Binary = (a: number, b: number) => number;

/**
 * A broadcasting operation of two tensors.
 *
 * @param f Of fractions.
 * @param integers Of integers, which wrap around; if absent, they are refused.
 */
export function broadcast(f: Binary, integers?: Binary) {
  const dtypes: readonly DType[] = integers ? [...FLOATS, "i32"] : FLOATS;
  return (a: unknown, b: unknown): HostTensor => {
    demandTensor(a, dtypes);
    demandTensor(b, dtypes);
    demand(a.dtype === b.dtype, `${a.dtype} and ${b.dtype}`);
    const shape = broadcastShape(a.shape, b.shape);
    const of = a.dtype === "i32" ? integers! : f;
    const data = Array.from(
      { length: elements(shape) },
      (_, i) => of(a.data[source(i, shape, a.shape)]!, b.data[source(i, shape, b.shape)]!),
    );
    return new HostTensor(a.dtype, shape, data);
  };
}

const BINARY: Record<string, [f: Binary, integers?: Binary]> = {
  add: [(a, b) => a + b, (a, b) => (a + b) | 0],
  subtract: [(a, b) => a - b, (a, b) => (a - b) | 0],
  multiply: [(a, b) => a * b, Math.imul],
  divide: [(a, b) => a / b],
};

const SHAPES: readonly [readonly number[], readonly number[]][] = [
  [[2, 3], [2, 3]],
  [[2, 3], [3]],
  [[2, 1, 3], [4, 1]],
];

// deno-lint-ignore no-explicit-any
type Function_ = (...args: any[]) => unknown;
const functions = remoe as unknown as Record<string, Function_>;

const binary: Entry[] = Object.entries(BINARY).flatMap(([of, f]) =>
  SHAPES.map(([a, b]): Entry => ({
    of,
    variant: `[${a}] and [${b}]`,
    make: (w) => [w.f32(a), w.f32(b)],
    call: functions[of]!,
    right: broadcast(...f),
  }))
);

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const UNARY: Record<string, (x: number, parameter: number) => number> = {
  exp: Math.exp,
  log: Math.log,
  negate: (x) => -x,
  relu: (x) => x > 0 || Number.isNaN(x) ? x : 0,
  sigmoid,
  silu: (x) => x * sigmoid(x),
  sqrt: Math.sqrt,
  square: (x) => x * x,
  tanh: Math.tanh,
  isPositive: (x) => x > 0 ? 1 : 0,
  scale: (x, factor) => x * factor,
  shift: (x, offset) => x + offset,
};

const unary: Entry[] = Object.entries(UNARY).map(([of, f]): Entry => {
  const parameters = ["scale", "shift"].includes(of) ? [0.75] : [];
  return {
    of,
    make: (w) => [w.f32([2, 3]), ...parameters],
    call: functions[of]!,
    right: (x: unknown, parameter: unknown) => {
      demandTensor(x, FLOATS);
      demand(!parameters.length || typeof parameter === "number", "no number");
      const factor = Math.fround(Number(parameter));
      return new HostTensor(x.dtype, x.shape, x.data.map((value) => f(value, factor)));
    },
  };
});

/** `add` to `tanh`. */
export const elementwise: readonly Entry[] = [...binary, ...unary];
