/** Products, reductions, norms and losses. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../lib/tensor/dtype.ts";
import { attention } from "../../../kernels/cases/reference/attention.ts";
import { rope } from "../../../kernels/cases/reference/rope.ts";
import { demand, demandTensor, elements, type Entry, f32, HostTensor } from "../entry.ts";
import { axisOf } from "./layout.ts";

const FLOATS: readonly DType[] = ["f32", "bf16"];
const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

/** Products of rows and a matrix. */
export function product(a: unknown, b: unknown): HostTensor {
  demandTensor(a, FLOATS);
  demandTensor(b, FLOATS);
  demand(a.dtype === b.dtype, "types");
  demand(a.shape.length > 0 && b.shape.length === 2, "axes");
  const [inner, n] = b.shape as readonly [number, number];
  demand(a.shape.at(-1) === inner, "inner sizes");
  const data = rowsOf(a, inner).flatMap((row) =>
    Array.from({ length: n }, (_, j) => total(row.map((value, l) => value * b.data[l * n + j]!)))
  );
  return new HostTensor(a.dtype, [...a.shape.slice(0, -1), n], data);
}

function reduced(f: (values: readonly number[]) => number) {
  return (x: unknown, options: unknown = {}): HostTensor => {
    demandTensor(x, FLOATS);
    demand(typeof options === "object" && options !== null, "options");
    const { axis: given } = options as { axis?: unknown };
    if (given === undefined) return new HostTensor(x.dtype, [], [f(x.data)]);
    const axis = axisOf(given, x.shape.length);
    const inner = elements(x.shape.slice(axis + 1));
    const size = x.shape[axis]!;
    const data = Array.from({ length: x.data.length / size }, (_, i) => {
      const start = Math.floor(i / inner) * inner * size + (i % inner);
      return f(Array.from({ length: size }, (_, j) => x.data[start + j * inner]!));
    });
    return new HostTensor(x.dtype, x.shape.filter((_, at) => at !== axis), data);
  };
}

const REDUCTIONS = {
  sum: total,
  mean: (values: readonly number[]) => total(values) / values.length,
  max: (values: readonly number[]) => Math.max(...values),
};

const reductions: Entry[] = Object.entries(REDUCTIONS).flatMap(([of, f]) =>
  [[], [{ axis: 1 }], [{ axis: -1 }]].map((options): Entry => ({
    of,
    variant: Deno.inspect(options),
    make: (w) => [w.f32([2, 3, 4]), ...structuredClone(options)],
    call: (remoe as unknown as Record<string, Entry["call"]>)[of]!,
    right: reduced(f),
  }))
);

function logSumExp(logits: readonly number[]): number {
  const largest = Math.max(...logits);
  return largest + Math.log(total(logits.map((logit) => Math.exp(logit - largest))));
}

function rowsOf(x: HostTensor, columns: number): number[][] {
  return Array.from(
    { length: x.data.length / columns },
    (_, row) => x.data.slice(row * columns, (row + 1) * columns),
  );
}

function crossEntropy(x: unknown, head: unknown, targets: unknown) {
  demandTensor(x, FLOATS);
  demandTensor(head, FLOATS);
  demandTensor(targets, ["i32"]);
  demand(x.shape.length === 2 && head.shape.length === 2 && targets.shape.length === 1, "axes");
  demand(targets.shape[0] === x.shape[0], "tokens");
  const vocabulary = head.shape[1]!;
  demand(targets.data.every((target) => target < vocabulary), "targets");
  const logits = rowsOf(product(x, head), vocabulary);
  const tokenLoss = logits.map((row, t) =>
    targets.data[t]! < 0 ? 0 : logSumExp(row) - row[targets.data[t]!]!
  );
  const count = targets.data.filter((target) => target >= 0).length;
  const loss = f32([], [total(tokenLoss) / Math.max(1, count)]);
  return { loss, tokenLoss: f32(targets.shape, tokenLoss) };
}

/** Causal attention with rotary positions. */
export function causal(qkv: unknown, options: unknown): HostTensor {
  demandTensor(qkv, FLOATS);
  demand(qkv.shape.length === 2, "axes");
  demand(typeof options === "object" && options !== null, "options");
  const given = options as Record<string, number>;
  const { sequence, heads, groups, ropeBase = 10000 } = given as { [key: string]: number };
  demand([sequence, heads, groups].every((n) => Number.isInteger(n) && n! > 0), "sizes");
  demand(Number.isFinite(ropeBase) && ropeBase > 0, "base");
  const [rows, stride] = qkv.shape as readonly [number, number];
  const headDim = stride / (heads! + 2 * groups!);
  demand(rows % sequence! === 0 && heads! % groups! === 0 && headDim % 2 === 0, "sizes");
  const sizes = { sequence: sequence!, headDim, stride };
  const turning = { ...sizes, rows, heads: heads! + groups!, base: ropeBase, offset: 0 };
  const turned = rope(Float64Array.from(qkv.data), turning);
  const batch = rows / sequence!;
  const { out } = attention(turned, { ...sizes, batch, heads: heads!, groups: groups! });
  return new HostTensor(qkv.dtype, [rows, heads! * headDim], Array.from(out));
}

const losses: readonly Entry[] = [
  {
    of: "crossEntropy",
    make: (w) => [w.f32([3, 4]), w.f32([4, 5]), w.i32([4, 0, -1])],
    call: remoe.crossEntropy,
    right: crossEntropy,
  },
  {
    of: "meanSquaredError",
    make: (w) => [w.f32([2, 3]), w.tensor("f32", [2, 3], [1, 2, 3, 4, 5, 6])],
    call: remoe.meanSquaredError,
    right: (a, b) => {
      demandTensor(a, FLOATS);
      demandTensor(b, FLOATS);
      demand(a.dtype === b.dtype, "types");
      demand(a.shape.join() === b.shape.join() && a.shape.length === b.shape.length, "shapes");
      const squares = a.data.map((value, i) => (value - b.data[i]!) ** 2);
      return f32([], [total(squares) / squares.length]);
    },
  },
];

const rowwise: readonly Entry[] = [
  {
    of: "softmax",
    make: (w) => [w.f32([2, 3])],
    call: remoe.softmax,
    right: (x) => {
      demandTensor(x, FLOATS);
      const columns = x.shape.at(-1) ?? 1;
      const y = rowsOf(x, columns).flatMap((row) =>
        row.map((value) => Math.exp(value - logSumExp(row)))
      );
      return new HostTensor(x.dtype, x.shape, y);
    },
  },
  {
    of: "rmsNorm",
    make: (w) => [w.f32([2, 4]), w.f32([4]), 1e-5],
    call: remoe.rmsNorm,
    right: (x, weight, epsilon = 1e-5) => {
      demandTensor(x, FLOATS);
      demandTensor(weight);
      demand(Number.isFinite(epsilon) && epsilon >= 0, "epsilon");
      demand(weight.shape.length === 1 && x.shape.at(-1) === weight.shape[0], "shapes");
      const y = rowsOf(x, weight.shape[0]!).flatMap((row) => {
        const square = total(row.map((value) => value * value)) / row.length;
        return row.map((value, i) => value * weight.data[i]! / Math.sqrt(square + epsilon));
      });
      return new HostTensor(x.dtype, x.shape, y);
    },
  },
  {
    of: "swiglu",
    make: (w) => [w.f32([3, 4])],
    call: remoe.swiglu,
    right: (h) => {
      demandTensor(h, FLOATS);
      demand(h.shape.length === 2 && h.shape[1]! % 2 === 0, "shape");
      const width = h.shape[1]! / 2;
      const y = rowsOf(h, 2 * width).flatMap((row) =>
        row.slice(0, width).map((gate, i) => {
          // silu is 0 in fp32 from here down to -Infinity.
          const g = Math.max(gate, -87);
          return g / (1 + Math.exp(-g)) * row[width + i]!;
        })
      );
      return new HostTensor(h.dtype, [h.shape[0]!, width], y);
    },
  },
  {
    of: "embedding",
    make: (w) => [w.f32([5, 3]), w.i32([4, 0, 4])],
    call: remoe.embedding,
    right: (table, tokens) => {
      demandTensor(table, FLOATS);
      demandTensor(tokens, ["i32"]);
      demand(table.shape.length === 2 && tokens.shape.length === 1, "axes");
      const [vocabulary, hidden] = table.shape as readonly [number, number];
      demand(tokens.data.every((token) => token >= 0 && token < vocabulary), "tokens");
      const rows = rowsOf(table, hidden);
      const found = tokens.data.flatMap((token) => rows[token]!);
      return new HostTensor(table.dtype, [tokens.data.length, hidden], found);
    },
  },
  {
    of: "causalAttention",
    make: (w) => [w.f32([6, 16]), { sequence: 3, heads: 2, groups: 1, ropeBase: 100 }],
    call: remoe.causalAttention,
    right: causal,
  },
];

const products: readonly Entry[] = [
  [[2, 3], [3, 4]],
  [[2, 2, 3], [3, 4]],
].map(([a, b]): Entry => ({
  of: "matmul",
  variant: `[${a}] and [${b}]`,
  make: (w) => [w.f32(a!), w.f32(b!)],
  call: remoe.matmul,
  right: product,
}));

/** `matmul` to `crossEntropy`. */
export const numerics: readonly Entry[] = [...products, ...reductions, ...rowwise, ...losses];
